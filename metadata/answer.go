package metadata

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/textproto"
	"strings"

	"sprout"
)

// Answer returns what is at a path of the instance's URL:
//
//	nocloud/{meta-data,user-data,vendor-data,network-config}
//	{version}/meta-data/…, {version}/user-data, {version}/vendor-data    as of EC2
//	ignition
//
// NotFound: there is nothing.
func (i Instance) Answer(path string) (body string, err error) {
	dialect, rest, _ := strings.Cut(path, "/")
	switch {
	case dialect == "ignition" && rest == "":
		return i.ignition()
	case dialect == "nocloud":
		return i.noCloud(rest)
	case isVersion(dialect):
		return i.ec2(rest)
	case path == "":
		return strings.Join(versions, "\n"), nil
	}
	return "", nothing(path)
}

func nothing(path string) error {
	return sprout.Errorf(sprout.NotFound, "there is no metadata %q", path)
}

func (i Instance) noCloud(name string) (string, error) {
	d, err := i.Drive()
	if err != nil {
		return "", err
	}
	switch name {
	case "meta-data":
		return d.MetaData, nil
	case "user-data":
		return d.UserData, nil
	case "vendor-data":
		return keeping(d.VendorData)
	case "network-config":
		return d.NetworkConfig, nil
	}
	return "", nothing("nocloud/" + name)
}

// keep has cloud-init go on with what it has when the machine boots again: what
// came over HTTP is there once, and without this it would begin anew, with other
// host keys (cloud-init, "manual_cache_clean").
const keep = `#!/bin/sh
echo 'manual_cache_clean: true' >/etc/cloud/cloud.cfg.d/99-sprout.cfg
`

// keeping is vendor data with that script, in parts (cloud-init, "MIME
// multi-part archive").
func keeping(vendor string) (string, error) {
	var out bytes.Buffer
	parts := multipart.NewWriter(&out)
	if err := parts.SetBoundary("sprout-vendor-data"); err != nil {
		return "", fmt.Errorf("cannot write vendor data: %w", err)
	}
	fmt.Fprintf(&out, "Content-Type: multipart/mixed; boundary=%q\r\nMIME-Version: 1.0\r\n\r\n", parts.Boundary())
	for _, p := range []struct{ kind, text string }{{"text/cloud-config", vendor}, {"text/x-shellscript", keep}} {
		w, err := parts.CreatePart(textproto.MIMEHeader{"Content-Type": {p.kind + "; charset=utf-8"}})
		if err != nil {
			return "", fmt.Errorf("cannot write vendor data: %w", err)
		}
		if _, err := w.Write([]byte(p.text)); err != nil {
			return "", fmt.Errorf("cannot write vendor data: %w", err)
		}
	}
	if err := parts.Close(); err != nil {
		return "", fmt.Errorf("cannot write vendor data: %w", err)
	}
	return out.String(), nil
}
