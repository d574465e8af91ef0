package ipmi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"

	"github.com/bougou/go-ipmi/pkg/client"
	"github.com/bougou/go-ipmi/pkg/types"

	"sprout"
)

// A suite is one of the cipher suites of table 22-20: how both sides prove that
// they know the password, and protect what they say after.
type suite = types.CipherSuiteID

// preferred is what is offered where the operator does not say: AES-128 and
// HMAC-SHA256, then AES-128 and HMAC-SHA1, which is all that BMCs of before 2013
// have. Suites that authenticate or encrypt nothing are never used.
var preferred = []suite{types.CipherSuiteID17, types.CipherSuiteID3}

// suitesOf reads which suite the query of the BMC's URL asks for.
func suitesOf(query url.Values) ([]suite, error) {
	for name := range query {
		if name != "cipher" {
			return nil, sprout.InvalidField("bmc.url", "cannot use the BMC's URL: %q is unknown there; known is cipher", name)
		}
	}
	if !query.Has("cipher") {
		return preferred, nil
	}
	n, err := strconv.Atoi(query.Get("cipher"))
	if err != nil || !slices.Contains(preferred, suite(n)) {
		return nil, sprout.InvalidField("bmc.url", "cannot use the BMC's URL: cipher must be 17 or 3")
	}
	return []suite{suite(n)}, nil
}

// A session is an RMCP+ session (section 13.15).
type session struct{ *client.Client }

// login opens a session unless there is one, with the first suite that the BMC
// has. Its answer to a suite that it has not is immediate; silence is not one.
func (p *Driver) login(ctx context.Context) error {
	if p.session != nil {
		return nil
	}
	var err error
	for _, s := range p.suites {
		if err = p.open(ctx, s); err == nil {
			p.suites = []suite{s} // asked for first, from now on
			return nil
		}
		if !errors.Is(err, errSuite) {
			break
		}
	}
	return p.unopened(err)
}

// errSuite is an answer to the first message of the handshake that opens no
// session. Which of table 13-15 says that the BMC has not the suite differs, and
// some are so short that the library cannot read them (ipmi_sim): all count.
var errSuite = errors.New("it does not open a session with this cipher suite")

// open opens the session of commands.
func (p *Driver) open(ctx context.Context, s suite) error {
	opened, err := p.dial(ctx, s)
	if err != nil {
		return err
	}
	p.session = opened
	p.identify(ctx)
	p.log.Debug("BMC session opened", "cipher", int(s), "quirk", p.quirk.name)
	return nil
}

// dial goes through the handshake itself, in place of the library's Connect:
// that one loses what kind of error it met, and asks on for ever to keep the
// session alive.
func (p *Driver) dial(ctx context.Context, s suite) (*session, error) {
	c, err := client.NewClient(p.host, p.port, p.config.Username, p.config.Password)
	if err != nil {
		return nil, err
	}
	c.WithTimeout(p.config.RequestTimeout).WithCipherSuiteID(s).WithMaxPrivilegeLevel(types.PrivilegeLevelOperator)
	opened := &session{c}
	if _, err = c.OpenSession(ctx); err == nil {
		_, err = c.RAKPMessage1(ctx)
	} else if answered(err) {
		err = fmt.Errorf("%w: %w", errSuite, err)
	}
	if err == nil {
		_, err = c.RAKPMessage3(ctx)
	}
	if err == nil {
		_, err = c.SetSessionPrivilegeLevel(ctx, types.PrivilegeLevelOperator)
	}
	if err != nil {
		opened.forget()
		return nil, err
	}
	return opened, nil
}

// forget closes the socket without a word to the BMC.
func (s *session) forget() {
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.Close(gone) // its error is that of gone
}

// logout ends the session if there is one.
func (p *Driver) logout(ctx context.Context) {
	if p.session == nil {
		return
	}
	if err := p.session.Close(ctx); err != nil {
		p.log.Debug("cannot end the BMC session; it will expire", "error", err)
	}
	p.session = nil
}

// denied are the answers that are about who asks (table 13-15).
var denied = []types.RmcpStatusCode{
	types.RmcpStatusCodeUnauthorizedName, types.RmcpStatusCodeInvalidNameLength, types.RmcpStatusCodeInvalidIntegrityCheckValue,
	types.RmcpStatusCodeInvalidRole, types.RmcpStatusCodeUnauthorizedRoleOfPriLevel,
}

// full are the answers of a BMC that has no session left.
var full = []types.RmcpStatusCode{types.RmcpStatusCodeNoResToCreateSess, types.RmcpStatusCodeNoResToCreateSessAtRole}

// unopened names why no session could be opened.
func (p *Driver) unopened(err error) *sprout.Failure {
	evidence := p.at() + ": " + err.Error()
	var refused *types.RmcpStatusError
	switch {
	case errors.Is(err, client.ErrRAKPAuthentication), errors.As(err, &refused) && slices.Contains(denied, refused.StatusCode()):
		return p.fail(sprout.BMCDenied, "cannot log in at the BMC: it refuses the user name or password, or the role of operator", evidence)
	case errors.As(err, &refused) && slices.Contains(full, refused.StatusCode()):
		return p.fail(sprout.BMCFailed, "cannot log in at the BMC: it has no session left", evidence)
	case errors.Is(err, errSuite):
		return p.fail(sprout.BMCFailed, fmt.Sprintf("cannot log in at the BMC: it has none of the cipher suites %v", p.suites), evidence)
	case refused != nil:
		return p.fail(sprout.BMCFailed, "cannot log in at the BMC: it answered with an error", evidence)
	}
	return p.failed("log in", err)
}

// failed names what kind of error a command met.
func (p *Driver) failed(what string, err error) *sprout.Failure {
	evidence := p.at() + ": " + err.Error()
	code, answered := completionOf(err)
	switch {
	case answered && code == types.CodeInsufficientPrivilege:
		return p.fail(sprout.BMCDenied, "cannot "+what+": the BMC's user may not", evidence)
	case answered:
		return p.fail(sprout.BMCFailed, fmt.Sprintf("cannot %s: the BMC answered %#02x", what, uint8(code)), evidence)
	}
	return p.fail(sprout.BMCUnreachable, "cannot reach the BMC at "+p.at(), evidence)
}

// answered tells whether err is about what the BMC said, not that it said nothing.
func answered(err error) bool {
	var silent net.Error
	return !errors.As(err, &silent) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// completionOf is the BMC's completion code (table 5-2), if it answered at all.
func completionOf(err error) (types.CompletionCode, bool) {
	if answer, ok := types.IsResponseError(err); ok {
		return answer.CompletionCode(), true
	}
	return 0, false
}

// command does one command in a session. A BMC that restarted knows nothing of a
// session and is silent, so that one is opened again, once. Commands of this
// package may be repeated.
func (p *Driver) command(ctx context.Context, what string, do func(*session) error) error {
	for try := 0; ; try++ {
		if err := p.login(ctx); err != nil {
			return err
		}
		err := do(p.session)
		if err == nil {
			return nil
		}
		if _, answered := completionOf(err); answered {
			return p.failed(what, err)
		}
		p.session.forget()
		p.session = nil
		if try > 0 || ctx.Err() != nil {
			return p.failed(what, err)
		}
	}
}
