package cli

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"sprout"
	"sprout/api"
	"sprout/client"
	"sprout/trust"
)

// A login is one `sprout login`.
type login struct {
	*env
	fingerprint, tokenFile, name string
	yes, oidc                    bool
}

func loginCommand(e *env) *cobra.Command {
	l := login{env: e}
	c := &cobra.Command{
		Use: "login URL", Short: "Log in to a control plane, and remember it as a context.", Args: takes(1, 1, "the URL of a control plane"),
		Long: "Log in to a control plane, and remember it as a context. The first time it shows the fingerprint of the control plane's\n" +
			"authority: compare it with the one that `sprout server` logs when it starts. It is pinned then: a server that shows another\n" +
			"is refused. Where the control plane names an OpenID provider, you log in there with a browser on any machine, and are given a token\n" +
			"that expires. Else the token is asked for, unless --token, --token-file or SPROUT_TOKEN has it.",
		Example: "  sprout login https://sprout.example:8443\n" +
			"  sprout login https://sprout.example:8443 --oidc\n" +
			"  sprout login https://sprout.example:8443 --fingerprint sha256:… --token-file token --context production\n" +
			"  sprout login https://localhost:8443 --ca /var/lib/sprout/server/ca.crt --token-file /var/lib/sprout/server/admin-token",
		RunE: func(c *cobra.Command, args []string) error { return l.run(c.Context(), args[0]) },
	}
	f := c.Flags()
	f.StringVar(&l.fingerprint, "fingerprint", "", "SHA-256 of the authority, in place of the question")
	f.StringVar(&l.tokenFile, "token-file", "", "file that holds the token; - reads standard input")
	f.BoolVar(&l.oidc, "oidc", false, "log in at the control plane's OpenID provider, also where a token is at hand")
	f.StringVar(&l.name, "name", "", "name of the context (default --context, else the server's host name)")
	f.BoolVarP(&l.yes, "yes", "y", false, "trust the authority that the server shows, unseen")
	return c
}

func (l *login) run(ctx context.Context, address string) error {
	u, err := loginURL(address)
	if err != nil {
		return err
	}
	conn := connection{Server: u.String()}
	if conn.CA, err = l.authority(ctx, u); err != nil {
		return err
	}
	if conn.Token, err = l.credential(ctx, conn); err != nil {
		return err
	}
	c, err := client.New(client.Config{URL: conn.Server, Token: conn.Token, CA: []byte(conn.CA), UserAgent: "sprout-cli/" + sprout.Version})
	if err != nil {
		return err
	}
	who, err := client.Call(ctx, c, api.TokenWhoami, struct{}{})
	if err != nil {
		return err
	}
	path, err := l.contextPath()
	if err != nil {
		return err
	}
	name := cmp.Or(l.name, l.context, u.Hostname())
	if err := writeContext(path, name, conn); err != nil {
		return err
	}
	return l.sayLogin(who, name, conn)
}

// credential gets the token: from the provider, or from the user.
func (l *login) credential(ctx context.Context, conn connection) (string, error) {
	c, err := client.New(client.Config{URL: conn.Server, CA: []byte(conn.CA), UserAgent: "sprout-cli/" + sprout.Version})
	if err != nil {
		return "", err
	}
	offer, err := l.byProvider(ctx, c, conn.Server)
	if err != nil {
		return "", err
	}
	if offer != nil {
		return l.atProvider(ctx, c, *offer)
	}
	return l.secret()
}

// loginURL reads the URL of a control plane. Tokens go in the clear to this
// machine only.
func loginURL(address string) (*url.URL, error) {
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, sprout.InvalidField("URL", "%q is no URL such as https://sprout.example:8443", address)
	}
	ip := net.ParseIP(u.Hostname())
	if u.Scheme == "http" && u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, sprout.InvalidField("URL", "a token sent to %s could be read on its way", address).WithRemedy("https://%s", u.Host)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

// authority finds whom to trust: the file of --ca; nobody but the system, where
// that trusts the server; else the authority that the server shows, if the user
// says so.
func (l *login) authority(ctx context.Context, u *url.URL) (string, error) {
	if file := cmp.Or(l.ca, l.getenv("SPROUT_CA")); file != "" {
		raw, err := os.ReadFile(file)
		if err != nil {
			return "", sprout.InvalidField("--ca", "cannot read it: %v", err)
		}
		_, err = trust.Certificates(raw)
		return string(raw), err
	}
	if u.Scheme == "http" {
		return "", nil
	}
	chain, err := trust.Shown(ctx, net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "443")))
	if err != nil {
		return "", err
	}
	if l.fingerprint != "" {
		want, err := trust.ParseFingerprint(l.fingerprint)
		if err != nil {
			return "", err
		}
		pinned, err := trust.VerifyPinned(chain, want, u.Hostname())
		if err != nil {
			return "", err
		}
		return string(trust.PEM(pinned)), nil
	}
	if trust.VerifySystem(chain, u.Hostname()) == nil {
		return "", nil
	}
	top := trust.Top(chain)
	if err := l.ask(u, trust.Fingerprint(top)); err != nil {
		return "", err
	}
	_, err = trust.VerifyPinned(chain, trust.Fingerprint(top), u.Hostname())
	return string(trust.PEM(top)), err
}

// ask shows a fingerprint and lets the user decide.
func (l *login) ask(u *url.URL, fingerprint string) error {
	fmt.Fprintf(l.stderr, "%s shows the authority\n  %s\n", u, fingerprint)
	if before := l.pinnedBefore(u); before == fingerprint {
		return nil
	} else if before != "" {
		fmt.Fprintf(l.stderr, "%s: it is not the one that was pinned, which is\n  %s\n", l.paint(l.stderr, red, "take care"), before)
	}
	if l.yes {
		return nil
	}
	fmt.Fprintln(l.stderr, "compare it with what sprout server logs when it starts, or with ca.crt in its directory")
	fmt.Fprint(l.stderr, "trust it? [y/N] ")
	if line, _ := bufio.NewReader(l.stdin).ReadString('\n'); slices.Contains([]string{"y", "yes"}, strings.ToLower(strings.TrimSpace(line))) {
		return nil
	}
	return sprout.Errorf(sprout.Denied, "cannot log in to %s: its authority is not trusted", u).
		WithRemedy("sprout login %s --fingerprint %s", u, fingerprint)
}

// pinnedBefore is the fingerprint that a context of this server holds.
func (l *login) pinnedBefore(u *url.URL) string {
	file, _, err := l.contexts()
	if err != nil {
		return ""
	}
	for _, name := range file.names() {
		if file.Contexts[name].at(u.String()) {
			return viewOf(file, name).Authority
		}
	}
	return ""
}

// secret finds the token, or asks for it without showing what is typed.
func (l *login) secret() (string, error) {
	if secret := cmp.Or(l.token, l.getenv("SPROUT_TOKEN")); secret != "" && l.tokenFile == "" {
		return secret, nil
	}
	var raw []byte
	var err error
	f, isFile := l.stdin.(*os.File)
	switch {
	case l.tokenFile == "-":
		raw, err = io.ReadAll(io.LimitReader(l.stdin, 4096))
	case l.tokenFile != "":
		raw, err = os.ReadFile(l.tokenFile)
	case isFile && isTerminal(f):
		fmt.Fprint(l.stderr, "token: ")
		raw, err = term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(l.stderr)
	}
	if err != nil {
		return "", sprout.InvalidField("--token-file", "cannot read the token: %v", err)
	}
	if secret := strings.TrimSpace(string(raw)); secret != "" {
		return secret, nil
	}
	return "", sprout.InvalidField("--token", "a token is needed").WithRemedy("--token-file FILE; an administrator makes one by: sprout token create NAME")
}
