package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"

	"sprout"
	"sprout/bench"
	"sprout/boot"
	"sprout/boot/neighbour"
	"sprout/boot/tftp"
	"sprout/sitestore"
)

// A server is one of those that are measured.
type server struct {
	name       string
	tftp, http string // where it listens; empty: it does not
	args       func(b *bed) ([]string, error)
}

var (
	sprouts = server{"sprout", "127.0.0.1:6970", "127.0.0.1:8970", func(b *bed) ([]string, error) {
		self, err := os.Executable()
		return []string{self, "--serve", b.dir}, err
	}}
	// hpa serves each transfer by a process of its own. It knows no windows.
	hpa = server{"hpa", "127.0.0.1:6971", "", func(b *bed) ([]string, error) {
		return []string{"in.tftpd", "--foreground", "--address", "127.0.0.1:6971", "--secure", b.dir}, nil
	}}
	atftpd = server{"atftpd", "127.0.0.1:6972", "", func(b *bed) ([]string, error) {
		return []string{b.atftpd, "--daemon", "--no-fork", "--port", "6972", "--bind-address", "127.0.0.1", "--logfile", "-", b.dir}, nil
	}}
	nginx = server{"nginx", "", "127.0.0.1:8973", func(b *bed) ([]string, error) {
		conf := filepath.Join(b.dir, "nginx.conf")
		return []string{"nginx", "-p", b.dir, "-c", conf}, os.WriteFile(conf, fmt.Appendf(nil, nginxConf, b.dir), 0o644)
	}}
)

// nginxConf is what nginx's authors advise for large files: sendfile, open files
// kept, no log of each access.
const nginxConf = `daemon off; worker_processes auto; pid nginx.pid; error_log stderr error;
events { worker_connections 1024; }
http {
  access_log off; sendfile on; sendfile_max_chunk 2m; tcp_nopush on; open_file_cache max=100;
  client_body_temp_path %[1]s/t1; proxy_temp_path %[1]s/t2; fastcgi_temp_path %[1]s/t3; uwsgi_temp_path %[1]s/t4; scgi_temp_path %[1]s/t5;
  server { listen 127.0.0.1:8973; location /boot/ { alias %[1]s/; } }
}
`

// start runs a server until it answers.
func (b *bed) start(s server) (*bench.Process, error) {
	args, err := s.args(b)
	if err != nil {
		return nil, err
	}
	return bench.Start(s.name, func() error {
		if s.http != "" {
			conn, err := net.Dial("tcp", s.http)
			if err != nil {
				return err
			}
			return conn.Close()
		}
		_, err := fetch(s.tftp, fileName, 1)
		return err
	}, args...)
}

// serveSprout serves the directory's file as the agent does.
func serveSprout(ctx context.Context, dir string) error {
	store, err := sitestore.Open(filepath.Join(dir, "site.db"), nil)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // the benchmark is over
	if last, err := store.Applied(); err != nil || last == 0 {
		if err := errors.Join(err, seed(ctx, store)); err != nil {
			return err
		}
	}
	files, err := tftp.New(tftp.Config{Address: netip.MustParseAddrPort(sprouts.tftp), Open: tftp.Files(dir, fileName)})
	if err != nil {
		return err
	}
	web := &http.Server{Addr: sprouts.http, Handler: boot.Handler(boot.Config{
		Ledger: store, URL: "http://" + sprouts.http, Files: dir, Neighbour: neighbour.Of, Events: func(sprout.BootEvent) {},
	})}
	failed := make(chan error, 2)
	go func() { failed <- files.Serve(ctx) }()
	go func() { failed <- web.ListenAndServe() }()
	select {
	case <-ctx.Done():
		return errors.Join(web.Close())
	case err := <-failed:
		return err
	}
}
