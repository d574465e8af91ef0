package metadata

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"sprout"
)

// IgnitionSeed is a config drive that says only where the configuration is, at the
// URL: Ignition fetches it in place of this one ("ignition.config.replace" of
// specification 3.3.0), at the machine's first boot alone.
func (i Instance) IgnitionSeed(url string) (d sprout.ConfigDrive, err error) {
	seed, err := json.Marshal(map[string]any{"ignition": map[string]any{
		"version": "3.3.0", "config": map[string]any{"replace": map[string]any{"source": url}},
	}})
	if err != nil {
		return d, fmt.Errorf("cannot write an Ignition configuration: %w", err)
	}
	meta, err := json.Marshal(map[string]any{"uuid": i.ID, "hostname": i.Hostname, "name": i.Hostname})
	d.Ignition, d.MetaData = string(seed), string(meta)
	return d, err
}

// CheckIgnition wants user data that is a configuration of version 3, or none.
func CheckIgnition(userData string) error {
	if strings.TrimSpace(userData) == "" {
		return nil
	}
	var own struct {
		Ignition struct {
			Version string `json:"version"`
		} `json:"ignition"`
	}
	if err := json.Unmarshal([]byte(userData), &own); err != nil || !strings.HasPrefix(own.Ignition.Version, "3.") {
		return sprout.InvalidField("userData", "cannot make an Ignition configuration: the user data is none of version 3")
	}
	return nil
}

// ignition is a configuration of specification 3.3.0: what Sprout needs, and the
// operator's own merged into it, which wins where both speak. User data that is
// no Ignition configuration is an Invalid error: it would be left out unseen.
func (i Instance) ignition() (string, error) {
	files := []any{file("/etc/hostname", i.Hostname+"\n")}
	if servers := i.timeServers(); len(servers) > 0 {
		files = append(files, file("/etc/systemd/timesyncd.conf.d/sprout.conf", "[Time]\nNTP="+strings.Join(servers, " ")+"\n"))
	}
	config := map[string]any{
		"ignition": map[string]any{"version": "3.3.0"},
		"storage":  map[string]any{"files": files},
		"systemd": map[string]any{"units": []any{map[string]any{
			"name": "sprout-phone-home.service", "enabled": true, "contents": homeUnit(i.Home),
		}}},
	}
	if len(i.SSHKeys) > 0 {
		config["passwd"] = map[string]any{"users": []any{map[string]any{"name": "core", "sshAuthorizedKeys": i.SSHKeys}}}
	}
	if strings.TrimSpace(i.UserData) != "" {
		if err := CheckIgnition(i.UserData); err != nil {
			return "", err
		}
		config["ignition"] = map[string]any{"version": "3.3.0", "config": map[string]any{"merge": []any{map[string]any{"source": data(i.UserData)}}}}
	}
	raw, err := json.Marshal(config)
	if err != nil {
		return "", fmt.Errorf("cannot write an Ignition configuration: %w", err)
	}
	return string(raw), nil
}

func file(path, content string) map[string]any {
	return map[string]any{"path": path, "mode": 0o644, "overwrite": true, "contents": map[string]any{"source": data(content)}}
}

// data is content in its own URL (RFC 2397).
func data(content string) string {
	return "data:;base64," + base64.StdEncoding.EncodeToString([]byte(content))
}

// homeUnit posts once that the system runs, and tries until it is heard.
func homeUnit(url string) string {
	return `[Unit]
Description=Tell Sprout that the installed system runs
Wants=network-online.target
After=network-online.target
ConditionPathExists=!/var/lib/sprout-phone-home

[Service]
Type=oneshot
ExecStart=/usr/bin/curl --fail --silent --show-error --max-time 10 --retry 20 --retry-delay 3 --retry-all-errors --data hostname=%H ` + url + `
ExecStart=/usr/bin/touch /var/lib/sprout-phone-home

[Install]
WantedBy=multi-user.target
`
}
