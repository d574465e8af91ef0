package main

import (
	"context"
	"net"

	"golang.org/x/net/ipv4"
)

// echo answers whatever asks, and does nothing besides: what perfdhcp reaches
// against it is perfdhcp's own ceiling.
func echo(ctx context.Context) error {
	udp, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp4", serverIP+":67")
	if err != nil {
		return err
	}
	defer udp.Close() //nolint:errcheck // the process ends
	conn := ipv4.NewPacketConn(udp)
	batch := make([]ipv4.Message, 64)
	for i := range batch {
		batch[i].Buffers = [][]byte{make([]byte, 1500)}
	}
	for {
		n, err := conn.ReadBatch(batch, 0)
		if err != nil {
			return err
		}
		for i := range batch[:n] {
			batch[i].Buffers[0] = answer(batch[i].Buffers[0][:batch[i].N])
		}
		for sent := 0; sent < n; {
			wrote, err := conn.WriteBatch(batch[sent:n], 0)
			if err != nil {
				return err
			}
			sent += wrote
		}
		for i := range batch[:n] {
			batch[i].Buffers[0] = batch[i].Buffers[0][:1500]
		}
	}
}

// answer makes, in place, of a DISCOVER an OFFER and of a REQUEST an ACK, of an
// address that is the client's number.
func answer(p []byte) []byte {
	const op, yiaddr, chaddr, kind = 0, 16, 28, 242 // perfdhcp sends option 53 first
	p[op] = 2
	copy(p[yiaddr:], []byte{10, 20, p[chaddr+4], p[chaddr+5]})
	p[kind] += 1 + p[kind]/3 // 1 → 2, 3 → 5
	end := append(p[:kind+1], 54, 4, 10, 20, 0, 1, 51, 4, 0, 0, 2, 88, 255)
	return end
}
