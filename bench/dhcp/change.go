package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"sprout/api"
	"sprout/bench"
	"sprout/client"
)

const (
	toDeploy = 320 // machines that get an address, one after the other
	warmUp   = 20  // of these are not counted
)

// change is how long it takes from the API's answer to a deployment until the
// site's DHCP offers the address that was reserved for it, in milliseconds: the
// 99th percentile, with many hosts at the site beside with few.
func (b *bed) change() (line bench.Line, err error) {
	const many, few = 100_000, 100
	line.Peer = "at-100"
	if line.Other, err = b.changeAmong(few); err == nil {
		line.Sprout, err = b.changeAmong(many)
	}
	return line, err
}

func (b *bed) changeAmong(hosts int) (ms float64, err error) {
	p, err := openPlane(b.ctx, hosts, toDeploy)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	relay, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(hostsRelay)}, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 67})
	if err != nil {
		return 0, err
	}
	defer relay.Close() //nolint:errcheck // nothing is left to send
	var all []float64
	for n := range toDeploy {
		took, err := b.changed(p, relay, n)
		if err != nil {
			return 0, fmt.Errorf("machine %d among %d hosts: %w", n, hosts, err)
		}
		if n >= warmUp {
			all = append(all, float64(took.Microseconds())/1000)
		}
	}
	slices.Sort(all)
	at := func(percent int) float64 { return all[len(all)*percent/100] }
	fmt.Fprintf(os.Stderr, "%d changes among %d hosts: half within %.1f ms, 99 %% within %.1f, the last %.1f\n", len(all), hosts, at(50), at(99), all[len(all)-1])
	return at(99), nil
}

// changed deploys the n-th machine and waits for its offer.
func (b *bed) changed(p *plane, relay *net.UDPConn, n int) (took time.Duration, err error) {
	mac, err := net.ParseMAC(hostMAC(n))
	if err != nil {
		return 0, err
	}
	if ip, err := offered(relay, mac, 50*time.Millisecond); err != nil || ip != nil {
		return 0, fmt.Errorf("it is offered %v before it is deployed: %w", ip, err)
	}
	in := api.DeployMachine{MachineRef: api.MachineRef{Machine: fmt.Sprintf("mch_%026d", n)}}
	in.Body.Image = "bench"
	if _, err := client.Call(b.ctx, p.admin, api.MachineDeploy, in); err != nil {
		return 0, err
	}
	began := time.Now()
	for time.Since(began) < 10*time.Second && b.ctx.Err() == nil {
		ip, err := offered(relay, mac, time.Millisecond)
		if err != nil {
			return 0, err
		}
		if ip != nil {
			return time.Since(began), nil
		}
	}
	return 0, errors.New("its address is not offered within 10 s")
}

// offered asks once for an address; nil: there is none within the time.
func offered(relay *net.UDPConn, mac net.HardwareAddr, within time.Duration) (net.IP, error) {
	p, err := dhcpv4.New(dhcpv4.WithMessageType(dhcpv4.MessageTypeDiscover), dhcpv4.WithHwAddr(mac), dhcpv4.WithGatewayIP(net.ParseIP(hostsRelay)),
		dhcpv4.WithGeneric(dhcpv4.OptionRelayAgentInformation, []byte{1, 1, 'b', 19, 0})) // answered to the port that it comes from: RFC 8357
	if err != nil {
		return nil, err
	}
	if _, err := relay.Write(p.ToBytes()); err != nil {
		return nil, err
	}
	buffer := make([]byte, 1500)
	for deadline := time.Now().Add(within); ; {
		if err := relay.SetReadDeadline(deadline); err != nil {
			return nil, err
		}
		n, err := relay.Read(buffer)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if answer, err := dhcpv4.FromBytes(buffer[:n]); err == nil && answer.ClientHWAddr.String() == mac.String() {
			return answer.YourIPAddr, nil
		}
	}
}
