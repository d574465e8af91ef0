CREATE EXTENSION IF NOT EXISTS btree_gist WITH SCHEMA public;

CREATE TYPE public.inetrange AS RANGE (
    subtype = inet,
    multirange_type_name = public.inetmultirange
);

CREATE FUNCTION public.keep_image_name() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO image_name (name, image, own) VALUES (NEW.name, NEW.id, true);
        RETURN NEW;
    END IF;
    DELETE FROM image_name WHERE image = OLD.id AND own;
    RETURN OLD;
END $$;

CREATE FUNCTION public.raise_revision() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    NEW.revision = nextval('revision');
    RETURN NEW;
END $$;

CREATE FUNCTION public.raise_revision_of_machine() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    UPDATE machine SET revision = nextval('revision') WHERE id = coalesce(NEW.machine, OLD.machine);
    RETURN NULL;
END $$;

CREATE FUNCTION public.refuse_audit_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'the audit record is append-only';
END $$;

CREATE FUNCTION public.refuse_audit_loss() RETURNS trigger
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    AS $$
BEGIN
    IF EXISTS (
        SELECT FROM gone g LEFT JOIN LATERAL (SELECT * FROM audit WHERE id = g.id LIMIT 1) a ON true
        WHERE (a.id, a.site, a.at, a.kind, a.actor, a.token, a.source, a.action, a.subject, a.name, a.outcome, a.detail, a.request, a.changes::text)
          IS DISTINCT FROM
              (g.id, g.site, g.at, g.kind, g.actor, g.token, g.source, g.action, g.subject, g.name, g.outcome, g.detail, g.request, g.changes::text)
    ) THEN
        RAISE EXCEPTION 'the audit record is append-only: it is not sealed yet';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION public.refuse_audit_return() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF NEW.records < OLD.records THEN
        RAISE EXCEPTION 'the audit record is append-only: its head does not go back';
    END IF;
    RETURN NEW;
END $$;

CREATE TABLE public.address (
    site text NOT NULL,
    id text NOT NULL,
    subnet text NOT NULL,
    ip inet NOT NULL,
    kind text NOT NULL,
    machine text,
    mac macaddr,
    name text DEFAULT ''::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    vrf text DEFAULT ''::text NOT NULL,
    purpose text DEFAULT ''::text NOT NULL,
    expires_at timestamp with time zone,
    taken_by macaddr,
    probe_at timestamp with time zone,
    CONSTRAINT address_kind_check CHECK ((kind = ANY (ARRAY['machine'::text, 'gateway'::text, 'agent'::text, 'manual'::text, 'hold'::text, 'quarantined'::text])))
);

CREATE TABLE public.address_range (
    site text NOT NULL,
    id text NOT NULL,
    subnet text NOT NULL,
    kind text NOT NULL,
    first inet NOT NULL,
    last inet NOT NULL,
    CONSTRAINT address_range_kind_check CHECK ((kind = ANY (ARRAY['dynamic'::text, 'reserved'::text]))),
    CONSTRAINT address_range_order_check CHECK ((first <= last))
);

CREATE TABLE public.agent (
    site text NOT NULL,
    id text NOT NULL,
    name text NOT NULL,
    version text DEFAULT ''::text NOT NULL,
    public_key text NOT NULL,
    seal_key text NOT NULL,
    address text DEFAULT ''::text NOT NULL,
    last_seen timestamp with time zone,
    applied bigint DEFAULT 0 NOT NULL,
    enrolled_at timestamp with time zone DEFAULT now() NOT NULL,
    retired_at timestamp with time zone,
    begins_after bigint DEFAULT 0 NOT NULL,
    downloading bigint DEFAULT 0 NOT NULL,
    waiting bigint DEFAULT 0 NOT NULL
);

CREATE SEQUENCE public.revision
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE TABLE public.allocation (
    id text NOT NULL,
    number bigint NOT NULL,
    state text NOT NULL,
    sites text[],
    owner text NOT NULL,
    machines integer NOT NULL,
    spread text NOT NULL,
    constraints jsonb NOT NULL,
    seconds bigint NOT NULL,
    asked_by text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    given_at timestamp with time zone,
    expires_at timestamp with time zone,
    warned boolean DEFAULT false NOT NULL,
    ended_at timestamp with time zone,
    revision bigint DEFAULT nextval('public.revision'::regclass) NOT NULL,
    CONSTRAINT allocation_machines_check CHECK (((machines >= 1) AND (machines <= 1000))),
    CONSTRAINT allocation_seconds_check CHECK ((seconds >= 0)),
    CONSTRAINT allocation_spread_check CHECK ((spread = ANY (ARRAY[''::text, 'zone'::text]))),
    CONSTRAINT allocation_state_check CHECK ((state = ANY (ARRAY['queued'::text, 'given'::text, 'expired'::text, 'cancelled'::text])))
);

CREATE TABLE public.allocation_machine (
    allocation text NOT NULL,
    site text NOT NULL,
    machine text NOT NULL,
    generation bigint NOT NULL,
    returned_at timestamp with time zone,
    left_at timestamp with time zone
);

ALTER TABLE public.allocation ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.allocation_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.audit (
    seq bigint NOT NULL,
    site text DEFAULT ''::text NOT NULL,
    at timestamp with time zone NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    subject text DEFAULT ''::text NOT NULL,
    name text DEFAULT ''::text NOT NULL,
    outcome text NOT NULL,
    detail text DEFAULT ''::text NOT NULL,
    request text DEFAULT ''::text NOT NULL,
    hash text NOT NULL,
    kind text DEFAULT ''::text NOT NULL,
    token text DEFAULT ''::text NOT NULL,
    source text DEFAULT ''::text NOT NULL,
    changes json,
    id bigint,
    CONSTRAINT audit_kind_check CHECK ((kind = ANY (ARRAY[''::text, 'request'::text, 'workflow'::text, 'system'::text]))),
    CONSTRAINT audit_outcome_check CHECK ((outcome = ANY (ARRAY['done'::text, 'refused'::text, 'failed'::text])))
);

CREATE TABLE public.audit_head (
    single boolean DEFAULT true NOT NULL,
    records bigint NOT NULL,
    hash text NOT NULL,
    sealed_at timestamp with time zone NOT NULL,
    signature bytea NOT NULL,
    CONSTRAINT audit_head_single_check CHECK (single)
);

CREATE TABLE public.audit_unsealed (
    id bigint NOT NULL,
    site text NOT NULL,
    at timestamp with time zone NOT NULL,
    kind text NOT NULL,
    actor text NOT NULL,
    token text NOT NULL,
    source text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    name text NOT NULL,
    outcome text NOT NULL,
    detail text NOT NULL,
    changes json,
    request text NOT NULL,
    CONSTRAINT audit_unsealed_kind_check CHECK ((kind = ANY (ARRAY['request'::text, 'workflow'::text, 'system'::text]))),
    CONSTRAINT audit_unsealed_outcome_check CHECK ((outcome = ANY (ARRAY['done'::text, 'refused'::text, 'failed'::text])))
);

ALTER TABLE public.audit_unsealed ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.audit_unsealed_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.bmc (
    site text NOT NULL,
    machine text NOT NULL,
    driver text NOT NULL,
    url text DEFAULT ''::text NOT NULL,
    username text DEFAULT ''::text NOT NULL,
    system text DEFAULT ''::text NOT NULL,
    insecure boolean DEFAULT false NOT NULL,
    secret bytea,
    about jsonb,
    CONSTRAINT bmc_driver_check CHECK ((driver = ANY (ARRAY['redfish'::text, 'ipmi'::text, 'webhook'::text, 'manual'::text])))
);

CREATE TABLE public.boot_attempt (
    site text NOT NULL,
    id text NOT NULL,
    owner text NOT NULL,
    machine text,
    mac macaddr,
    started_at timestamp with time zone NOT NULL,
    last_at timestamp with time zone NOT NULL,
    seen integer DEFAULT 0 NOT NULL,
    last text DEFAULT ''::text NOT NULL
);

CREATE TABLE public.boot_event (
    site text NOT NULL,
    attempt text NOT NULL,
    seq bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    event jsonb NOT NULL
);

ALTER TABLE public.boot_event ALTER COLUMN seq ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.boot_event_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.dhcp_option (
    site text NOT NULL,
    id text NOT NULL,
    subnet text,
    class text DEFAULT ''::text NOT NULL,
    machine text,
    version integer NOT NULL,
    code integer NOT NULL,
    name text NOT NULL,
    value text NOT NULL,
    data bytea NOT NULL,
    always boolean DEFAULT false NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT dhcp_option_code_check CHECK (((code >= 1) AND (code <= 65535))),
    CONSTRAINT dhcp_option_scope_check CHECK ((((((subnet IS NOT NULL))::integer + ((class <> ''::text))::integer) + ((machine IS NOT NULL))::integer) <= 1)),
    CONSTRAINT dhcp_option_version_check CHECK ((version = ANY (ARRAY[4, 6])))
);

CREATE TABLE public.dns_key (
    site text NOT NULL,
    name text NOT NULL,
    algorithm text NOT NULL,
    secret bytea NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    public text DEFAULT ''::text NOT NULL,
    CONSTRAINT dns_key_algorithm_check CHECK ((algorithm = ANY (ARRAY['hmac-sha256'::text, 'hmac-sha512'::text, 'ecdsap256sha256'::text])))
);

CREATE TABLE public.dns_policy (
    site text NOT NULL,
    transfer text[] NOT NULL,
    updaters text[] NOT NULL,
    notify text[] NOT NULL,
    forward text[] NOT NULL
);

CREATE TABLE public.dns_record (
    site text NOT NULL,
    id text NOT NULL,
    name text NOT NULL,
    type text NOT NULL,
    data text NOT NULL,
    ttl integer NOT NULL,
    source text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT dns_record_source_check CHECK ((source = ANY (ARRAY['manual'::text, 'update'::text]))),
    CONSTRAINT dns_record_ttl_check CHECK ((ttl >= 0)),
    CONSTRAINT dns_record_type_check CHECK ((type = ANY (ARRAY['A'::text, 'AAAA'::text, 'CNAME'::text, 'MX'::text, 'PTR'::text, 'SRV'::text, 'TXT'::text])))
);

CREATE TABLE public.enrol_token (
    site text NOT NULL,
    hash bytea NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    agent text,
    sealed bytea
);

CREATE TABLE public.event (
    xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    seq bigint NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    what text NOT NULL,
    subject text NOT NULL,
    site text NOT NULL,
    machine text NOT NULL,
    name text NOT NULL,
    state text NOT NULL,
    CONSTRAINT event_what_check CHECK ((what = ANY (ARRAY['created'::text, 'changed'::text, 'deleted'::text])))
);

CREATE TABLE public.event_log (
    one boolean DEFAULT true NOT NULL,
    epoch text NOT NULL,
    pruned xid8 NOT NULL,
    CONSTRAINT event_log_one_check CHECK (one)
);

ALTER TABLE public.event ALTER COLUMN seq ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.event_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.image (
    id text NOT NULL,
    name text NOT NULL,
    digest text NOT NULL,
    bytes bigint NOT NULL,
    compression text NOT NULL,
    raw_digest text NOT NULL,
    raw_bytes bigint NOT NULL,
    architecture text NOT NULL,
    boot_modes text[] NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    kind text DEFAULT 'disk'::text NOT NULL,
    source text DEFAULT ''::text NOT NULL,
    CONSTRAINT image_compression_check CHECK ((compression = ANY (ARRAY['none'::text, 'gzip'::text, 'xz'::text, 'zstd'::text]))),
    CONSTRAINT image_kind_check CHECK ((kind = ANY (ARRAY['disk'::text, 'rootfs'::text])))
);

CREATE TABLE public.image_name (
    name text NOT NULL,
    image text NOT NULL,
    own boolean DEFAULT false NOT NULL,
    set_by text DEFAULT ''::text NOT NULL,
    set_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.inbox (
    site text NOT NULL,
    last_fact bigint DEFAULT 0 NOT NULL,
    agent text DEFAULT ''::text NOT NULL,
    moved_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.interface (
    site text NOT NULL,
    mac macaddr NOT NULL,
    machine text NOT NULL,
    "position" integer NOT NULL,
    name text DEFAULT ''::text NOT NULL,
    boot boolean DEFAULT false NOT NULL,
    driver text DEFAULT ''::text NOT NULL,
    link boolean DEFAULT false NOT NULL,
    speed_mbs integer DEFAULT 0 NOT NULL,
    pci text DEFAULT ''::text NOT NULL
);

CREATE TABLE public.lease (
    site text NOT NULL,
    ip inet NOT NULL,
    subnet text NOT NULL,
    mac macaddr NOT NULL,
    client_id text DEFAULT ''::text NOT NULL,
    hostname text DEFAULT ''::text NOT NULL,
    state text NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT lease_state_check CHECK ((state = ANY (ARRAY['offered'::text, 'bound'::text, 'released'::text, 'declined'::text])))
);

CREATE TABLE public.machine (
    site text NOT NULL,
    id text NOT NULL,
    name text NOT NULL,
    state text NOT NULL,
    power text DEFAULT 'unknown'::text NOT NULL,
    power_at timestamp with time zone,
    architecture text DEFAULT 'amd64'::text NOT NULL,
    boot_mode text DEFAULT ''::text NOT NULL,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    pool text DEFAULT ''::text NOT NULL,
    zone text DEFAULT ''::text NOT NULL,
    owner text DEFAULT ''::text NOT NULL,
    locked boolean DEFAULT false NOT NULL,
    protected boolean DEFAULT false NOT NULL,
    generation bigint DEFAULT 0 NOT NULL,
    image text DEFAULT ''::text NOT NULL,
    tests_skipped boolean DEFAULT false NOT NULL,
    inventory jsonb,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    labels jsonb DEFAULT '{}'::jsonb NOT NULL,
    revision bigint DEFAULT nextval('public.revision'::regclass) NOT NULL,
    network jsonb,
    secure_boot boolean DEFAULT false NOT NULL,
    virtual_media boolean DEFAULT false NOT NULL,
    skip_reason text DEFAULT ''::text NOT NULL,
    expected jsonb,
    outliers jsonb DEFAULT '[]'::jsonb NOT NULL,
    shell jsonb,
    image_digest text DEFAULT ''::text NOT NULL,
    record_console boolean DEFAULT false NOT NULL,
    rests_until timestamp with time zone,
    CONSTRAINT machine_architecture_check CHECK ((architecture = ANY (ARRAY['amd64'::text, 'arm64'::text]))),
    CONSTRAINT machine_boot_mode_check CHECK ((boot_mode = ANY (ARRAY[''::text, 'bios'::text, 'uefi'::text]))),
    CONSTRAINT machine_power_check CHECK ((power = ANY (ARRAY['on'::text, 'off'::text, 'unknown'::text]))),
    CONSTRAINT machine_state_check CHECK ((state = ANY (ARRAY['discovered'::text, 'registered'::text, 'ready'::text, 'allocated'::text, 'deployed'::text, 'rescued'::text, 'broken'::text, 'retired'::text])))
);

CREATE TABLE public.machine_history (
    site text NOT NULL,
    machine text NOT NULL,
    seq bigint NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    actor text NOT NULL,
    from_state text NOT NULL,
    event text NOT NULL,
    to_state text NOT NULL,
    reason text DEFAULT ''::text NOT NULL
);

ALTER TABLE public.machine_history ALTER COLUMN seq ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.machine_history_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.model_limit (
    vendor text NOT NULL,
    model text NOT NULL,
    step text NOT NULL,
    seconds bigint NOT NULL,
    set_by text NOT NULL,
    set_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT model_limit_seconds_check CHECK ((seconds > 0))
);

CREATE TABLE public.network (
    site text NOT NULL,
    id text NOT NULL,
    name text NOT NULL,
    vlan integer DEFAULT 0 NOT NULL,
    mtu integer DEFAULT 1500 NOT NULL,
    vrf text DEFAULT ''::text NOT NULL,
    CONSTRAINT network_mtu_check CHECK (((mtu >= 576) AND (mtu <= 9216))),
    CONSTRAINT network_vlan_check CHECK (((vlan >= 0) AND (vlan <= 4094)))
);

CREATE TABLE public.outbox (
    site text NOT NULL,
    seq bigint NOT NULL,
    kind text NOT NULL,
    key text NOT NULL,
    deleted boolean NOT NULL,
    body jsonb,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    published_at timestamp with time zone,
    secret bytea
);

CREATE TABLE public.outbox_unnumbered (
    id bigint NOT NULL,
    site text NOT NULL,
    kind text NOT NULL,
    key text NOT NULL,
    deleted boolean NOT NULL,
    body jsonb,
    secret bytea,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE public.outbox_unnumbered ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.outbox_unnumbered_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.problem (
    id text NOT NULL,
    site text,
    subject text NOT NULL,
    name text NOT NULL,
    code text NOT NULL,
    severity text NOT NULL,
    reason text NOT NULL,
    evidence text DEFAULT ''::text NOT NULL,
    remedy text DEFAULT ''::text NOT NULL,
    since timestamp with time zone DEFAULT now() NOT NULL,
    cleared_at timestamp with time zone,
    said_at timestamp with time zone,
    CONSTRAINT problem_severity_check CHECK ((severity = ANY (ARRAY['warning'::text, 'critical'::text])))
);

CREATE TABLE public.quota (
    owner text NOT NULL,
    machines integer NOT NULL,
    set_by text NOT NULL,
    set_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT quota_machines_check CHECK (((machines >= 0) AND (machines <= 1000000)))
);

CREATE TABLE public.record (
    site text NOT NULL,
    name text NOT NULL,
    ip inet,
    ttl integer NOT NULL,
    vrf text DEFAULT ''::text NOT NULL,
    ip6 inet,
    CONSTRAINT record_some_ip_check CHECK (((ip IS NOT NULL) OR (ip6 IS NOT NULL))),
    CONSTRAINT record_ttl_check CHECK ((ttl > 0))
);

CREATE TABLE public.request_key (
    id bytea NOT NULL,
    digest bytea NOT NULL,
    claim text DEFAULT ''::text NOT NULL,
    sealed bytea,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.rule (
    name text NOT NULL,
    number bigint NOT NULL,
    priority integer NOT NULL,
    constraints jsonb NOT NULL,
    request jsonb NOT NULL,
    gift jsonb NOT NULL,
    secret bytea,
    taken bigint DEFAULT 0 NOT NULL,
    made_by text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    revision bigint DEFAULT 1 NOT NULL,
    CONSTRAINT rule_priority_check CHECK (((priority >= '-1000000'::integer) AND (priority <= 1000000)))
);

ALTER TABLE public.rule ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.rule_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.rule_taken (
    site text NOT NULL,
    machine text NOT NULL,
    rule text NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.setting (
    name text NOT NULL,
    sealed bytea NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.site (
    id text NOT NULL,
    name text NOT NULL,
    domain text NOT NULL,
    outbox_seq bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.site_step (
    site text NOT NULL,
    workflow text NOT NULL,
    work text NOT NULL,
    seq bigint NOT NULL,
    name text NOT NULL,
    attempt integer NOT NULL,
    outcome text NOT NULL,
    detail text DEFAULT ''::text NOT NULL,
    started_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    CONSTRAINT site_step_outcome_check CHECK ((outcome = ANY (ARRAY['running'::text, 'done'::text, 'failed'::text, 'undone'::text, 'skipped'::text])))
);

ALTER TABLE public.site_step ALTER COLUMN seq ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.site_step_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.subnet (
    site text NOT NULL,
    id text NOT NULL,
    network text NOT NULL,
    cidr cidr NOT NULL,
    gateway inet,
    dns inet[] DEFAULT '{}'::inet[] NOT NULL,
    ntp inet[] DEFAULT '{}'::inet[] NOT NULL,
    discover boolean DEFAULT false NOT NULL,
    mtu integer DEFAULT 1500 NOT NULL,
    vrf text DEFAULT ''::text NOT NULL,
    domain text DEFAULT ''::text NOT NULL,
    search text[] DEFAULT '{}'::text[] NOT NULL,
    routes jsonb DEFAULT '[]'::jsonb NOT NULL,
    advertise text DEFAULT ''::text NOT NULL,
    dhcp text DEFAULT ''::text NOT NULL,
    dhcp_servers text[] DEFAULT '{}'::text[] NOT NULL,
    CONSTRAINT subnet_advertise_check CHECK ((advertise = ANY (ARRAY[''::text, 'none'::text, 'slaac'::text, 'stateless'::text, 'managed'::text]))),
    CONSTRAINT subnet_dhcp_check CHECK ((dhcp = ANY (ARRAY[''::text, 'server'::text, 'proxy'::text, 'off'::text]))),
    CONSTRAINT subnet_gateway_check CHECK (((gateway << (cidr)::inet) OR (masklen((cidr)::inet) = 32) OR (masklen((cidr)::inet) = 128) OR (gateway <<= 'fe80::/10'::inet))),
    CONSTRAINT subnet_mtu_check CHECK (((mtu >= 576) AND (mtu <= 9216)))
);

CREATE TABLE public.subnet_lease (
    site text NOT NULL,
    subnet text NOT NULL,
    ip inet NOT NULL,
    mac macaddr NOT NULL,
    client_id text DEFAULT ''::text NOT NULL,
    hostname text DEFAULT ''::text NOT NULL,
    state text NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT subnet_lease_state_check CHECK ((state = ANY (ARRAY['offered'::text, 'bound'::text, 'released'::text, 'declined'::text])))
);

CREATE TABLE public.test (
    name text NOT NULL,
    digest text NOT NULL,
    declared jsonb NOT NULL,
    content bytea NOT NULL,
    added_by text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT test_content_check CHECK (((octet_length(content) >= 1) AND (octet_length(content) <= 16777216)))
);
ALTER TABLE ONLY public.test ALTER COLUMN content SET STORAGE EXTERNAL;

CREATE TABLE public.test_result (
    site text NOT NULL,
    machine text NOT NULL,
    seq bigint NOT NULL,
    test text NOT NULL,
    kind text NOT NULL,
    device text NOT NULL,
    outcome text NOT NULL,
    message text DEFAULT ''::text NOT NULL,
    metrics jsonb DEFAULT '[]'::jsonb NOT NULL,
    at timestamp with time zone NOT NULL,
    seconds double precision DEFAULT 0 NOT NULL,
    latest boolean DEFAULT true NOT NULL,
    serial text DEFAULT ''::text NOT NULL,
    output text DEFAULT ''::text NOT NULL,
    model text DEFAULT ''::text NOT NULL,
    parameters jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT test_result_outcome_check CHECK ((outcome = ANY (ARRAY['passed'::text, 'failed'::text, 'skipped'::text])))
);

ALTER TABLE public.test_result ALTER COLUMN seq ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.test_result_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.token (
    id text NOT NULL,
    site text,
    name text NOT NULL,
    hash bytea NOT NULL,
    role text NOT NULL,
    expires_at timestamp with time zone,
    revoked_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    last_used_at timestamp with time zone,
    login boolean DEFAULT false NOT NULL,
    sites text[],
    grants jsonb DEFAULT '[]'::jsonb NOT NULL,
    first boolean DEFAULT false NOT NULL,
    proof bytea,
    CONSTRAINT token_role_check CHECK ((role = ANY (ARRAY['viewer'::text, 'operator'::text, 'admin'::text, 'agent'::text])))
);

CREATE TABLE public.workflow (
    site text NOT NULL,
    id text NOT NULL,
    kind text NOT NULL,
    machine text,
    actor text NOT NULL,
    state text NOT NULL,
    step_name text DEFAULT ''::text NOT NULL,
    version bigint NOT NULL,
    next_at timestamp with time zone,
    run jsonb NOT NULL,
    created_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    request text DEFAULT ''::text NOT NULL,
    revision bigint DEFAULT nextval('public.revision'::regclass) NOT NULL,
    secret bytea,
    CONSTRAINT workflow_state_check CHECK ((state = ANY (ARRAY['running'::text, 'unwinding'::text, 'succeeded'::text, 'failed'::text, 'cancelled'::text])))
);

CREATE UNLOGGED TABLE public.workflow_live (
    workflow text NOT NULL,
    live jsonb NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE ONLY public.address
    ADD CONSTRAINT address_ip_key UNIQUE (site, ip, vrf);

ALTER TABLE ONLY public.address
    ADD CONSTRAINT address_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.address_range
    ADD CONSTRAINT address_range_id_key UNIQUE (id);

ALTER TABLE ONLY public.address_range
    ADD CONSTRAINT address_range_overlap EXCLUDE USING gist (subnet WITH =, public.inetrange(first, last, '[]'::text) WITH &&);

ALTER TABLE ONLY public.address_range
    ADD CONSTRAINT address_range_pkey PRIMARY KEY (site, id);

ALTER TABLE ONLY public.agent
    ADD CONSTRAINT agent_id_key UNIQUE (id);

ALTER TABLE ONLY public.agent
    ADD CONSTRAINT agent_pkey PRIMARY KEY (site, id);

ALTER TABLE ONLY public.allocation_machine
    ADD CONSTRAINT allocation_machine_pkey PRIMARY KEY (allocation, machine);

ALTER TABLE ONLY public.allocation
    ADD CONSTRAINT allocation_number_key UNIQUE (number);

ALTER TABLE ONLY public.allocation
    ADD CONSTRAINT allocation_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.audit_head
    ADD CONSTRAINT audit_head_pkey PRIMARY KEY (single);

ALTER TABLE ONLY public.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (seq);

ALTER TABLE ONLY public.audit_unsealed
    ADD CONSTRAINT audit_unsealed_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.bmc
    ADD CONSTRAINT bmc_machine_key UNIQUE (machine);

ALTER TABLE ONLY public.bmc
    ADD CONSTRAINT bmc_pkey PRIMARY KEY (site, machine);

ALTER TABLE ONLY public.boot_attempt
    ADD CONSTRAINT boot_attempt_pkey PRIMARY KEY (site, id);

ALTER TABLE ONLY public.boot_event
    ADD CONSTRAINT boot_event_pkey PRIMARY KEY (site, attempt, seq);

ALTER TABLE ONLY public.dhcp_option
    ADD CONSTRAINT dhcp_option_id_key UNIQUE (id);

ALTER TABLE ONLY public.dhcp_option
    ADD CONSTRAINT dhcp_option_key UNIQUE NULLS NOT DISTINCT (site, subnet, class, machine, version, code);

ALTER TABLE ONLY public.dhcp_option
    ADD CONSTRAINT dhcp_option_pkey PRIMARY KEY (site, id);

ALTER TABLE ONLY public.dns_key
    ADD CONSTRAINT dns_key_pkey PRIMARY KEY (site, name);

ALTER TABLE ONLY public.dns_policy
    ADD CONSTRAINT dns_policy_pkey PRIMARY KEY (site);

ALTER TABLE ONLY public.dns_record
    ADD CONSTRAINT dns_record_id_key UNIQUE (id);

ALTER TABLE ONLY public.dns_record
    ADD CONSTRAINT dns_record_pkey PRIMARY KEY (site, id);

ALTER TABLE ONLY public.enrol_token
    ADD CONSTRAINT enrol_token_hash_key UNIQUE (hash);

ALTER TABLE ONLY public.enrol_token
    ADD CONSTRAINT enrol_token_pkey PRIMARY KEY (site, hash);

ALTER TABLE ONLY public.event_log
    ADD CONSTRAINT event_log_pkey PRIMARY KEY (one);

ALTER TABLE ONLY public.event
    ADD CONSTRAINT event_pkey PRIMARY KEY (xid, seq);

ALTER TABLE ONLY public.image
    ADD CONSTRAINT image_name_key UNIQUE (name);

ALTER TABLE ONLY public.image_name
    ADD CONSTRAINT image_name_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.image
    ADD CONSTRAINT image_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.inbox
    ADD CONSTRAINT inbox_pkey PRIMARY KEY (site);

ALTER TABLE ONLY public.interface
    ADD CONSTRAINT interface_mac_key PRIMARY KEY (site, mac);

ALTER TABLE ONLY public.lease
    ADD CONSTRAINT lease_pkey PRIMARY KEY (site, ip);

ALTER TABLE ONLY public.machine_history
    ADD CONSTRAINT machine_history_pkey PRIMARY KEY (site, machine, seq);

ALTER TABLE ONLY public.machine
    ADD CONSTRAINT machine_id_key UNIQUE (id);

ALTER TABLE ONLY public.machine
    ADD CONSTRAINT machine_name_key UNIQUE (site, name);

ALTER TABLE ONLY public.machine
    ADD CONSTRAINT machine_pkey PRIMARY KEY (site, id);

ALTER TABLE ONLY public.model_limit
    ADD CONSTRAINT model_limit_pkey PRIMARY KEY (vendor, model, step);

ALTER TABLE ONLY public.network
    ADD CONSTRAINT network_id_key UNIQUE (id);

ALTER TABLE ONLY public.network
    ADD CONSTRAINT network_name_key UNIQUE (site, name);

ALTER TABLE ONLY public.network
    ADD CONSTRAINT network_pkey PRIMARY KEY (site, id);

ALTER TABLE ONLY public.network
    ADD CONSTRAINT network_vrf_key UNIQUE (site, id, vrf);

ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (site, seq);

ALTER TABLE ONLY public.outbox_unnumbered
    ADD CONSTRAINT outbox_unnumbered_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.problem
    ADD CONSTRAINT problem_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.quota
    ADD CONSTRAINT quota_pkey PRIMARY KEY (owner);

ALTER TABLE ONLY public.record
    ADD CONSTRAINT record_ip6_key UNIQUE (site, vrf, ip6);

ALTER TABLE ONLY public.record
    ADD CONSTRAINT record_ip_key UNIQUE (site, vrf, ip);

ALTER TABLE ONLY public.record
    ADD CONSTRAINT record_pkey PRIMARY KEY (site, name);

ALTER TABLE ONLY public.request_key
    ADD CONSTRAINT request_key_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.rule
    ADD CONSTRAINT rule_number_key UNIQUE (number);

ALTER TABLE ONLY public.rule
    ADD CONSTRAINT rule_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.rule_taken
    ADD CONSTRAINT rule_taken_pkey PRIMARY KEY (site, machine);

ALTER TABLE ONLY public.setting
    ADD CONSTRAINT setting_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.site
    ADD CONSTRAINT site_name_key UNIQUE (name);

ALTER TABLE ONLY public.site
    ADD CONSTRAINT site_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.site_step
    ADD CONSTRAINT site_step_key UNIQUE (work, name, attempt, started_at);

ALTER TABLE ONLY public.site_step
    ADD CONSTRAINT site_step_pkey PRIMARY KEY (site, workflow, seq);

ALTER TABLE ONLY public.subnet
    ADD CONSTRAINT subnet_id_key UNIQUE (id);

ALTER TABLE ONLY public.subnet_lease
    ADD CONSTRAINT subnet_lease_pkey PRIMARY KEY (site, ip, subnet);

ALTER TABLE ONLY public.subnet
    ADD CONSTRAINT subnet_overlap EXCLUDE USING gist (site WITH =, vrf WITH =, cidr inet_ops WITH &&);

ALTER TABLE ONLY public.subnet
    ADD CONSTRAINT subnet_pkey PRIMARY KEY (site, id);

ALTER TABLE ONLY public.subnet
    ADD CONSTRAINT subnet_vrf_key UNIQUE (site, id, vrf);

ALTER TABLE ONLY public.test
    ADD CONSTRAINT test_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.test_result
    ADD CONSTRAINT test_result_pkey PRIMARY KEY (site, machine, seq);

ALTER TABLE ONLY public.token
    ADD CONSTRAINT token_hash_key UNIQUE (hash);

ALTER TABLE ONLY public.token
    ADD CONSTRAINT token_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.workflow
    ADD CONSTRAINT workflow_id_key UNIQUE (id);

ALTER TABLE ONLY public.workflow_live
    ADD CONSTRAINT workflow_live_pkey PRIMARY KEY (workflow);

ALTER TABLE ONLY public.workflow
    ADD CONSTRAINT workflow_pkey PRIMARY KEY (site, id);

CREATE INDEX address_expiry_index ON public.address USING btree (subnet, ip) WHERE (expires_at IS NOT NULL);

CREATE UNIQUE INDEX address_port_key ON public.address USING btree (machine, mac, subnet) WHERE (machine IS NOT NULL);

CREATE INDEX address_probe_index ON public.address USING btree (probe_at) WHERE (probe_at IS NOT NULL);

CREATE INDEX address_subnet_index ON public.address USING btree (subnet, ip);

CREATE UNIQUE INDEX agent_live_key ON public.agent USING btree (site) WHERE (retired_at IS NULL);

CREATE UNIQUE INDEX agent_public_key_key ON public.agent USING btree (public_key) WHERE (retired_at IS NULL);

CREATE INDEX allocation_ended_index ON public.allocation USING btree (ended_at) WHERE (ended_at IS NOT NULL);

CREATE INDEX allocation_expires_index ON public.allocation USING btree (expires_at) WHERE ((state = 'given'::text) AND (expires_at IS NOT NULL));

CREATE UNIQUE INDEX allocation_machine_live_key ON public.allocation_machine USING btree (machine) WHERE (left_at IS NULL);

CREATE INDEX allocation_machine_machine_index ON public.allocation_machine USING btree (site, machine);

CREATE INDEX allocation_queue_index ON public.allocation USING btree (number) WHERE (state = 'queued'::text);

CREATE INDEX audit_actor_index ON public.audit USING btree (actor, seq);

CREATE INDEX audit_at_index ON public.audit USING brin (at);

CREATE UNIQUE INDEX audit_id_key ON public.audit USING btree (id);

CREATE INDEX audit_name_index ON public.audit USING btree (name, seq);

CREATE INDEX audit_site_index ON public.audit USING btree (site, seq);

CREATE INDEX audit_subject_index ON public.audit USING btree (subject, seq);

CREATE INDEX bmc_host_index ON public.bmc USING btree (site, "left"("substring"(url, '://(\[[^]]*\]|[^:/?#]*)'::text), 255));

CREATE INDEX boot_attempt_machine_index ON public.boot_attempt USING btree (machine) WHERE (machine IS NOT NULL);

CREATE INDEX boot_attempt_owner_index ON public.boot_attempt USING btree (site, owner, id);

CREATE INDEX boot_attempt_stranger_index ON public.boot_attempt USING btree (site, id) WHERE (machine IS NULL);

CREATE INDEX dhcp_option_machine_index ON public.dhcp_option USING btree (machine);

CREATE INDEX dhcp_option_subnet_index ON public.dhcp_option USING btree (subnet);

CREATE UNIQUE INDEX dns_record_key ON public.dns_record USING btree (site, name, type, source, md5(data));

CREATE INDEX image_digest_index ON public.image USING btree (digest);

CREATE INDEX image_name_image_index ON public.image_name USING btree (image);

CREATE UNIQUE INDEX image_name_own_key ON public.image_name USING btree (image) WHERE own;

CREATE INDEX interface_machine_index ON public.interface USING btree (machine);

CREATE INDEX machine_any_state_index ON public.machine USING btree (state, id);

CREATE INDEX machine_label_index ON public.machine USING gin (labels) WHERE (labels <> '{}'::jsonb);

CREATE INDEX machine_model_index ON public.machine USING btree (((inventory ->> 'vendor'::text)), ((inventory ->> 'model'::text)));

CREATE INDEX machine_name_index ON public.machine USING btree (name COLLATE "C", id);

CREATE INDEX machine_owner_index ON public.machine USING btree (owner, id) WHERE (owner <> ''::text);

CREATE INDEX machine_pool_index ON public.machine USING btree (pool, id) WHERE (pool <> ''::text);

CREATE INDEX machine_serial_index ON public.machine USING btree (site, "left"((inventory ->> 'serial'::text), 64)) WHERE ((inventory ->> 'serial'::text) <> ''::text);

CREATE INDEX machine_site_name_index ON public.machine USING btree (site, name COLLATE "C", id);

CREATE INDEX machine_state_index ON public.machine USING btree (site, state, id);

CREATE INDEX machine_tag_index ON public.machine USING gin (tags) WHERE (tags <> '{}'::text[]);

CREATE INDEX machine_uuid_index ON public.machine USING btree (site, "left"(lower((inventory ->> 'uuid'::text)), 64)) WHERE ((inventory ->> 'uuid'::text) <> ''::text);

CREATE INDEX network_name_index ON public.network USING btree (name, id);

CREATE UNIQUE INDEX network_vlan_key ON public.network USING btree (site, vlan) WHERE (vlan <> 0);

CREATE INDEX outbox_key_index ON public.outbox USING btree (site, kind, key, seq);

CREATE INDEX outbox_unnumbered_site_index ON public.outbox_unnumbered USING btree (site, id);

CREATE INDEX outbox_unpublished_index ON public.outbox USING btree (site, seq) WHERE (published_at IS NULL);

CREATE INDEX problem_code_index ON public.problem USING btree (code, id);

CREATE INDEX problem_open_index ON public.problem USING btree (id) WHERE (cleared_at IS NULL);

CREATE UNIQUE INDEX problem_open_key ON public.problem USING btree (subject, code) WHERE (cleared_at IS NULL);

CREATE INDEX problem_severity_index ON public.problem USING btree (severity, id);

CREATE INDEX problem_site_index ON public.problem USING btree (site, id);

CREATE INDEX problem_subject_index ON public.problem USING btree (subject, id);

CREATE INDEX request_key_created_index ON public.request_key USING btree (created_at);

CREATE INDEX site_step_workflow_index ON public.site_step USING btree (workflow, seq);

CREATE INDEX subnet_lease_index ON public.subnet_lease USING btree (subnet, ip);

CREATE INDEX subnet_network_index ON public.subnet USING btree (network);

CREATE INDEX test_digest_index ON public.test USING btree (digest);

CREATE INDEX test_result_fleet_index ON public.test_result USING btree (test, model, seq) WHERE (model <> ''::text);

CREATE INDEX test_result_latest_index ON public.test_result USING btree (machine) WHERE latest;

CREATE INDEX test_result_machine_index ON public.test_result USING btree (machine, seq);

CREATE INDEX test_result_seq_index ON public.test_result USING btree (seq);

CREATE INDEX test_result_serial_index ON public.test_result USING btree (serial, seq) WHERE (serial <> ''::text);

CREATE INDEX token_login_index ON public.token USING btree (name, expires_at) WHERE login;

CREATE UNIQUE INDEX token_name_key ON public.token USING btree (name) WHERE ((revoked_at IS NULL) AND (NOT login));

CREATE UNIQUE INDEX token_proof_key ON public.token USING btree (proof) WHERE (proof IS NOT NULL);

CREATE INDEX workflow_due_index ON public.workflow USING btree (next_at) WHERE (state = ANY (ARRAY['running'::text, 'unwinding'::text]));

CREATE UNIQUE INDEX workflow_live_key ON public.workflow USING btree (machine) WHERE ((machine IS NOT NULL) AND (state = ANY (ARRAY['running'::text, 'unwinding'::text])));

CREATE INDEX workflow_machine_index ON public.workflow USING btree (machine, id);

CREATE INDEX workflow_site_state_index ON public.workflow USING btree (site, state, id);

CREATE INDEX workflow_state_index ON public.workflow USING btree (state, id);

CREATE TRIGGER audit_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.audit FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_audit_change();

CREATE TRIGGER audit_head_rises BEFORE UPDATE ON public.audit_head FOR EACH ROW EXECUTE FUNCTION public.refuse_audit_return();

CREATE TRIGGER audit_head_stays BEFORE DELETE OR TRUNCATE ON public.audit_head FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_audit_change();

CREATE TRIGGER audit_unsealed_append_only BEFORE UPDATE OR TRUNCATE ON public.audit_unsealed FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_audit_change();

CREATE TRIGGER audit_unsealed_until_sealed AFTER DELETE ON public.audit_unsealed REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_audit_loss();

CREATE TRIGGER bmc_revision AFTER INSERT OR DELETE OR UPDATE OF driver, url, username, system, insecure, secret ON public.bmc FOR EACH ROW EXECUTE FUNCTION public.raise_revision_of_machine();

CREATE TRIGGER image_named AFTER INSERT ON public.image FOR EACH ROW EXECUTE FUNCTION public.keep_image_name();

CREATE TRIGGER image_unnamed BEFORE DELETE ON public.image FOR EACH ROW EXECUTE FUNCTION public.keep_image_name();

CREATE TRIGGER machine_revision BEFORE UPDATE ON public.machine FOR EACH ROW WHEN ((NOT ((old.power IS DISTINCT FROM new.power) OR (old.power_at IS DISTINCT FROM new.power_at)))) EXECUTE FUNCTION public.raise_revision();

CREATE TRIGGER workflow_revision BEFORE UPDATE ON public.workflow FOR EACH ROW WHEN ((old.state IS DISTINCT FROM new.state)) EXECUTE FUNCTION public.raise_revision();

ALTER TABLE ONLY public.address_range
    ADD CONSTRAINT address_range_site_subnet_fkey FOREIGN KEY (site, subnet) REFERENCES public.subnet(site, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.address
    ADD CONSTRAINT address_site_machine_fkey FOREIGN KEY (site, machine) REFERENCES public.machine(site, id);

ALTER TABLE ONLY public.address
    ADD CONSTRAINT address_site_subnet_vrf_fkey FOREIGN KEY (site, subnet, vrf) REFERENCES public.subnet(site, id, vrf) ON UPDATE CASCADE;

ALTER TABLE ONLY public.agent
    ADD CONSTRAINT agent_site_fkey FOREIGN KEY (site) REFERENCES public.site(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.allocation_machine
    ADD CONSTRAINT allocation_machine_allocation_fkey FOREIGN KEY (allocation) REFERENCES public.allocation(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.allocation_machine
    ADD CONSTRAINT allocation_machine_machine_fkey FOREIGN KEY (site, machine) REFERENCES public.machine(site, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.bmc
    ADD CONSTRAINT bmc_site_machine_fkey FOREIGN KEY (site, machine) REFERENCES public.machine(site, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.boot_attempt
    ADD CONSTRAINT boot_attempt_site_fkey FOREIGN KEY (site) REFERENCES public.site(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.boot_attempt
    ADD CONSTRAINT boot_attempt_site_machine_fkey FOREIGN KEY (site, machine) REFERENCES public.machine(site, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.boot_event
    ADD CONSTRAINT boot_event_site_attempt_fkey FOREIGN KEY (site, attempt) REFERENCES public.boot_attempt(site, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.dhcp_option
    ADD CONSTRAINT dhcp_option_machine_fkey FOREIGN KEY (site, machine) REFERENCES public.machine(site, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.dhcp_option
    ADD CONSTRAINT dhcp_option_site_fkey FOREIGN KEY (site) REFERENCES public.site(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.dhcp_option
    ADD CONSTRAINT dhcp_option_subnet_fkey FOREIGN KEY (site, subnet) REFERENCES public.subnet(site, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.dns_key
    ADD CONSTRAINT dns_key_site_fkey FOREIGN KEY (site) REFERENCES public.site(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.dns_policy
    ADD CONSTRAINT dns_policy_site_fkey FOREIGN KEY (site) REFERENCES public.site(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.dns_record
    ADD CONSTRAINT dns_record_site_fkey FOREIGN KEY (site) REFERENCES public.site(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.enrol_token
    ADD CONSTRAINT enrol_token_site_fkey FOREIGN KEY (site) REFERENCES public.site(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.image_name
    ADD CONSTRAINT image_name_image_fkey FOREIGN KEY (image) REFERENCES public.image(id);

ALTER TABLE ONLY public.inbox
    ADD CONSTRAINT inbox_site_fkey FOREIGN KEY (site) REFERENCES public.site(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.interface
    ADD CONSTRAINT interface_site_machine_fkey FOREIGN KEY (site, machine) REFERENCES public.machine(site, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.lease
    ADD CONSTRAINT lease_site_fkey FOREIGN KEY (site) REFERENCES public.site(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.machine_history
    ADD CONSTRAINT machine_history_site_machine_fkey FOREIGN KEY (site, machine) REFERENCES public.machine(site, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.machine
    ADD CONSTRAINT machine_site_fkey FOREIGN KEY (site) REFERENCES public.site(id);

ALTER TABLE ONLY public.network
    ADD CONSTRAINT network_site_fkey FOREIGN KEY (site) REFERENCES public.site(id);

ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_site_fkey FOREIGN KEY (site) REFERENCES public.site(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.problem
    ADD CONSTRAINT problem_site_fkey FOREIGN KEY (site) REFERENCES public.site(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.record
    ADD CONSTRAINT record_site_fkey FOREIGN KEY (site) REFERENCES public.site(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.rule_taken
    ADD CONSTRAINT rule_taken_site_machine_fkey FOREIGN KEY (site, machine) REFERENCES public.machine(site, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.site_step
    ADD CONSTRAINT site_step_site_workflow_fkey FOREIGN KEY (site, workflow) REFERENCES public.workflow(site, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.subnet_lease
    ADD CONSTRAINT subnet_lease_site_fkey FOREIGN KEY (site) REFERENCES public.site(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.subnet
    ADD CONSTRAINT subnet_site_network_vrf_fkey FOREIGN KEY (site, network, vrf) REFERENCES public.network(site, id, vrf) ON UPDATE CASCADE ON DELETE CASCADE;

ALTER TABLE ONLY public.test_result
    ADD CONSTRAINT test_result_site_machine_fkey FOREIGN KEY (site, machine) REFERENCES public.machine(site, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.token
    ADD CONSTRAINT token_site_fkey FOREIGN KEY (site) REFERENCES public.site(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.workflow
    ADD CONSTRAINT workflow_site_fkey FOREIGN KEY (site) REFERENCES public.site(id);
