package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"sprout"
)

// constraints is the one table from a constraint of the schema to what its
// violation means to who asked.
var constraints = map[string]struct {
	kind    sprout.Kind
	field   string
	message string
}{
	"site_name_key":                {sprout.Conflict, "name", "a site of this name exists"},
	"agent_live_key":               {sprout.Conflict, "site", "the site has another agent"},
	"agent_public_key_key":         {sprout.Conflict, "publicKey", "an agent with this key is enrolled already"},
	"token_name_key":               {sprout.Conflict, "name", "a token of this name exists"},
	"token_role_check":             {sprout.Invalid, "role", "must be one of viewer, operator, admin, agent"},
	"machine_name_key":             {sprout.Conflict, "name", "a machine of this name exists in the site"},
	"machine_state_check":          {sprout.Invalid, "state", "is not a state of a machine"},
	"machine_power_check":          {sprout.Invalid, "power", "must be one of on, off, unknown"},
	"machine_architecture_check":   {sprout.Invalid, "architecture", "must be one of amd64, arm64"},
	"machine_boot_mode_check":      {sprout.Invalid, "bootMode", "must be one of bios, uefi"},
	"interface_mac_key":            {sprout.Conflict, "interfaces.mac", "another machine of the site has this MAC address"},
	"bmc_driver_check":             {sprout.Invalid, "bmc.driver", "must be one of redfish, ipmi, webhook, manual"},
	"test_result_outcome_check":    {sprout.Invalid, "outcome", "must be one of passed, failed, skipped"},
	"network_name_key":             {sprout.Conflict, "name", "a network of this name exists in the site"},
	"network_vlan_key":             {sprout.Conflict, "vlan", "another network of the site has this VLAN"},
	"network_vlan_check":           {sprout.Invalid, "vlan", "must be 0 (untagged) to 4094"},
	"network_mtu_check":            {sprout.Invalid, "mtu", "must be 576 to 9216"},
	"subnet_mtu_check":             {sprout.Invalid, "mtu", "must be 576 to 9216"},
	"subnet_gateway_check":         {sprout.Invalid, "subnets.gateway", "must lie in the subnet"},
	"subnet_overlap":               {sprout.Conflict, "subnets.cidr", "overlaps another subnet of its VRF at the site"},
	"address_range_kind_check":     {sprout.Invalid, "subnets.ranges.kind", "must be one of dynamic, reserved"},
	"address_range_order_check":    {sprout.Invalid, "subnets.ranges.last", "must not be before first"},
	"address_range_overlap":        {sprout.Conflict, "subnets.ranges", "overlaps another range of the subnet"},
	"address_ip_key":               {sprout.Conflict, "ip", "the address is taken"},
	"address_site_subnet_vrf_fkey": {sprout.Conflict, "subnet", "addresses of the subnet are in use, or it is gone"},
	"address_site_machine_fkey":    {sprout.Conflict, "machine", "the machine holds addresses, or is gone"},
	"record_ip_key":                {sprout.Conflict, "ip", "another name is published for this address"},
	"record_ip6_key":               {sprout.Conflict, "ip", "another name is published for this address"},
	"subnet_advertise_check":       {sprout.Invalid, "advertise", "must be one of none, slaac, stateless, managed"},
	"record_ttl_check":             {sprout.Invalid, "ttl", "must be at least 1 second"},
	"dns_record_key":               {sprout.Conflict, "data", "the site has this record already"},
	"dns_record_type_check":        {sprout.Invalid, "type", "must be one of A, AAAA, CNAME, MX, PTR, SRV, TXT"},
	"dns_record_ttl_check":         {sprout.Invalid, "ttl", "must be at least 0 seconds"},
	"dns_record_source_check":      {sprout.Invalid, "source", "must be one of manual, update"},
	"dhcp_option_machine_fkey":     {sprout.Conflict, "machine", "the machine is gone"},
	"dhcp_option_subnet_fkey":      {sprout.Conflict, "subnet", "the subnet is gone"},
	"dhcp_option_scope_check":      {sprout.Invalid, "class", "is set for one of a subnet, a class and a machine"},
	"dhcp_option_version_check":    {sprout.Invalid, "version", "must be 4 or 6"},
	"dhcp_option_code_check":       {sprout.Invalid, "option", "must be 1 to 65535"},
	"subnet_dhcp_check":            {sprout.Invalid, "dhcp", "must be one of server, proxy, off"},
	"dns_key_pkey":                 {sprout.Conflict, "name", "the site has a key of this name"},
	"dns_key_algorithm_check":      {sprout.Invalid, "algorithm", "must be one of hmac-sha256, hmac-sha512"},
	"image_name_key":               {sprout.Conflict, "name", "an image of this name exists"},
	"image_name_pkey":              {sprout.Conflict, "name", "an image or an alias of this name exists"},
	"image_name_image_fkey":        {sprout.Conflict, "image", "aliases name the image, or it is gone"},
	"image_compression_check":      {sprout.Invalid, "compression", "must be one of none, gzip, xz, zstd"},
	"machine_site_fkey":            {sprout.Conflict, "site", "the site has machines, or is gone"},
	"network_site_fkey":            {sprout.Conflict, "site", "the site has networks, or is gone"},
	"workflow_site_fkey":           {sprout.Conflict, "site", "workflows of the site are on record, or it is gone"},
	"workflow_id_key":              {sprout.Conflict, "id", "a workflow of this id exists"},
	"workflow_pkey":                {sprout.Conflict, "id", "a workflow of this id exists"},
	"workflow_live_key":            {sprout.Conflict, "machine", "another workflow runs on the machine"},
	"rule_pkey":                    {sprout.Conflict, "name", "a rule of this name exists"},
	"rule_priority_check":          {sprout.Invalid, "priority", "must be -1000000 to 1000000"},
	"quota_machines_check":         {sprout.Invalid, "machines", "must be 0 to 1000000"},
	"allocation_machines_check":    {sprout.Invalid, "count", "must be 1 to 1000"},
	"allocation_spread_check":      {sprout.Invalid, "spread", "must be zone, or nothing"},
	"allocation_seconds_check":     {sprout.Invalid, "for", "must be at least 0 seconds"},
	"allocation_state_check":       {sprout.Invalid, "state", "must be one of queued, given, expired, cancelled"},
	"problem_severity_check":       {sprout.Invalid, "severity", "must be one of warning, critical"},
	"audit_unsealed_kind_check":    {sprout.Invalid, "kind", "must be one of request, workflow, system"},
	"audit_unsealed_outcome_check": {sprout.Invalid, "outcome", "must be one of done, refused, failed"},
}

// explain gives an error of PostgreSQL the kind that it has for who asked.
// Other errors pass as they are.
func explain(err error) error {
	var pg *pgconn.PgError
	var known *sprout.Error
	var defect *statementError
	if isAway(err) && !errors.As(err, &known) {
		return unavailable(err, "cannot reach the database now, try again", "look at PostgreSQL and the way to it; Sprout goes on by itself")
	}
	if err == nil || !errors.As(err, &pg) || errors.As(err, &known) || errors.As(err, &defect) {
		return err
	}
	if c, ok := constraints[pg.ConstraintName]; ok {
		e := sprout.Errorf(c.kind, "%s", c.message)
		e.Field, e.Err = c.field, err
		return e
	}
	switch {
	case pg.Code == "23503": // those that may be broken by a delete have a row above
		e := sprout.Errorf(sprout.Conflict, "cannot go on: what it is for has been deleted meanwhile")
		e.Err = err
		return e
	case pg.Code == "25006": // read_only_sql_transaction
		return unavailable(err, "cannot change anything now: the database takes no changes", "point database.url at the primary; Sprout goes on by itself")
	case pg.Code == diskFull:
		return unavailable(err, "cannot keep anything now: the database's disk is full", "free room on the database's disk; Sprout goes on by itself")
	case pg.Code == "22P02" || pg.Code == "22003" || pg.Code == "22021" || pg.Code == "22P05": // no number, or no text: a zero byte
		e := sprout.Errorf(sprout.Invalid, "cannot use the value: %s", pg.Message)
		e.Err = err
		return e
	case pg.Code == "40001" || pg.Code == "40P01" || strings.HasPrefix(pg.Code, "08") || strings.HasPrefix(pg.Code, "53") || strings.HasPrefix(pg.Code, "57"):
		return sprout.Errorf(sprout.Unavailable, "cannot finish in the database now, try again: %w", err)
	}
	return &statementError{pg, err}
}

// isAway tells that the connection to PostgreSQL broke, or none could be had; not
// that whoever asked has given up.
func isAway(err error) bool {
	var pg *pgconn.PgError
	if err == nil || errors.As(err, &pg) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	var dial *pgconn.ConnectError
	var line *net.OpError
	return errors.As(err, &dial) || errors.As(err, &line) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || pgconn.SafeToRetry(err)
}

// Undone tells whether PostgreSQL has undone a transaction for the sake of
// another, because both could not go on: the same again may well succeed.
func Undone(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01")
}

func unavailable(err error, why, remedy string) error {
	e := sprout.Errorf(sprout.Unavailable, "%s", why).WithRemedy("%s", remedy)
	e.Err = err
	return e
}

// A statementError is a defect of ours: PostgreSQL refused a statement for a
// reason that nobody who asks could have avoided.
type statementError struct {
	pg  *pgconn.PgError
	err error
}

func (e *statementError) Error() string {
	return fmt.Sprintf("cannot run a statement (%s): %v", strings.TrimSpace(e.pg.Code+" "+e.pg.ConstraintName), e.err)
}

func (e *statementError) Unwrap() error { return e.err }

func violates(err error, constraint string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.ConstraintName == constraint
}

// conflictIn makes a Conflict error about one field of a request.
func conflictIn(field, format string, args ...any) error {
	e := sprout.Errorf(sprout.Conflict, format, args...)
	e.Field = field
	return e
}
