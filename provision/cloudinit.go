package provision

import (
	"encoding/json"
	"net/netip"

	"sprout"
	"sprout/metadata"
	"sprout/netconfig"
	"sprout/workflow"
)

// instance is what the installed system of a deploy is told of itself. The user
// data is not in it where it came sealed.
func instance(run, home string, in sprout.DeployWork) metadata.Instance {
	return metadata.Instance{
		ID: run, Hostname: in.Hostname, SSHKeys: in.SSHKeys, UserData: in.UserData, Home: home, Links: linksOf(in),
	}
}

// CheckUserData says whether the system that is told in this way can read the user
// data: Invalid, with the field, where it cannot.
func CheckUserData(by sprout.MetadataBy, userData string) error {
	if by != sprout.MetadataIgnition {
		return nil
	}
	return metadata.CheckIgnition(userData)
}

// configDrive makes the config drive of an installed system: all of it, or where
// it finds the rest.
func configDrive(run string, data siteData, in sprout.DeployWork) (sprout.ConfigDrive, error) {
	i := instance(run, data.Home, in)
	switch in.Metadata {
	case sprout.MetadataHTTP:
		return i.Seed(data.Metadata + "nocloud/")
	case sprout.MetadataIgnition:
		return i.IgnitionSeed(data.Metadata + "ignition")
	case sprout.MetadataDrive:
	}
	return i.Drive()
}

// InstanceOf returns what the system that a run of deploy installs is told of
// itself, for the boot attempt that it says it is of, and its user data where
// that is sealed. NotFound: the run installs nothing, or has another attempt.
func InstanceOf(run workflow.Run, attempt sprout.AttemptID) (i metadata.Instance, sealed []byte, err error) {
	var input SiteInput
	var data siteData
	var in sprout.DeployWork
	none := sprout.Errorf(sprout.NotFound, "there is no metadata: nothing is being installed by boot attempt %s", attempt)
	if run.Kind != Deploy || run.State.Ended() || json.Unmarshal(run.Input, &input) != nil || json.Unmarshal(run.Data, &data) != nil || data.Attempt != attempt {
		return i, nil, none
	}
	if json.Unmarshal(input.Work.Input, &in) != nil || !in.Metadata.ByHTTP() {
		return i, nil, none
	}
	return instance(run.ID, data.Home, in), input.Work.Secret, nil
}

// linksOf is how the installed system configures its network. Centres before 0.3
// said one address.
func linksOf(in sprout.DeployWork) []sprout.LinkSetup {
	if len(in.Links) > 0 {
		return in.Links
	}
	var links []sprout.LinkSetup
	for _, s := range in.Networks {
		l := sprout.LinkSetup{MAC: s.MAC, Addresses: []netip.Prefix{netip.PrefixFrom(s.IP, s.Prefix)}, MTU: s.MTU, DNS: s.DNS}
		if s.Gateway.IsValid() {
			l.Routes = []sprout.Route{netconfig.Default(s.Gateway)}
		}
		if s.Domain != "" {
			l.Search = []string{s.Domain}
		}
		links = append(links, l)
	}
	return links
}
