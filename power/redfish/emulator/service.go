package emulator

import (
	"fmt"
	"net/http"
	"strconv"
)

func (b *BMC) getRoot(w http.ResponseWriter, _ *http.Request) {
	root := object{
		"@odata.type":    "#ServiceRoot.v1_5_0.ServiceRoot",
		"@odata.id":      base + "/",
		"Id":             "RootService",
		"Name":           "Sprout lab BMC",
		"RedfishVersion": "1.8.0",
		"UUID":           b.facts.UUID,
		"Vendor":         b.facts.Manufacturer,
		"Tasks":          link("/TaskService"),
		"Systems":        link("/Systems"),
		"Managers":       link("/Managers"),
		"Chassis":        link("/Chassis"),
	}
	if !b.noSessions() {
		root["SessionService"] = link("/SessionService")
		root["Links"] = object{"Sessions": link("/SessionService/Sessions")}
	}
	reply(w, http.StatusOK, root)
}

func (b *BMC) noSessions() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.faults.NoSessions
}

func (b *BMC) getSessionService(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, object{
		"@odata.type":    "#SessionService.v1_1_6.SessionService",
		"@odata.id":      base + "/SessionService",
		"Id":             "SessionService",
		"Name":           "Session Service",
		"ServiceEnabled": true,
		"SessionTimeout": 600,
		"Sessions":       link("/SessionService/Sessions"),
	})
}

func (b *BMC) getSessions(w http.ResponseWriter, _ *http.Request) {
	b.mu.Lock()
	var paths []string
	for id := range b.sessions {
		paths = append(paths, "/SessionService/Sessions/"+id)
	}
	b.mu.Unlock()
	reply(w, http.StatusOK, members("/SessionService/Sessions", "Session", paths...))
}

// postSession logs a user in.
func (b *BMC) postSession(w http.ResponseWriter, r *http.Request) {
	if b.noSessions() {
		refuse(w, http.StatusNotFound, "ResourceMissingAtURI", "This service has no sessions.")
		return
	}
	var login struct{ UserName, Password string }
	if !decode(w, r, &login) {
		return
	}
	if !b.isUser(login.UserName, login.Password) {
		refuse(w, http.StatusUnauthorized, "ResourceAtUriUnauthorized", "The user name or the password is wrong.")
		return
	}
	if b.Faults().FullSessions {
		refuse(w, http.StatusServiceUnavailable, "SessionLimitExceeded", "The session establishment failed due to the number of simultaneous sessions exceeding the limit of the implementation.")
		return
	}
	id, token := b.open()
	at := "/SessionService/Sessions/" + id
	w.Header().Set("X-Auth-Token", token)
	w.Header().Set("Location", base+at)
	reply(w, http.StatusCreated, object{
		"@odata.type": "#Session.v1_2_1.Session",
		"@odata.id":   base + at,
		"Id":          id,
		"Name":        "User Session",
		"UserName":    login.UserName,
	})
}

func (b *BMC) deleteSession(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.sessions, r.PathValue("session"))
	w.WriteHeader(http.StatusNoContent)
}

// getCollection answers with the one member that each of our collections has.
func getCollection(path, kind string) resource {
	return func(_ *BMC, w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, members(path, kind, path+"/1"))
	}
}

func members(path, kind string, paths ...string) object {
	return object{
		"@odata.type":         fmt.Sprintf("#%sCollection.%sCollection", kind, kind),
		"@odata.id":           base + path,
		"Name":                kind + " Collection",
		"Members":             links(paths...),
		"Members@odata.count": len(paths),
	}
}

func (b *BMC) getManager(w http.ResponseWriter, _ *http.Request) {
	m := object{
		"@odata.type":     "#Manager.v1_3_1.Manager",
		"@odata.id":       base + "/Managers/1",
		"Id":              "1",
		"Name":            b.facts.Name + " BMC",
		"ManagerType":     "BMC",
		"Model":           "Sprout lab BMC",
		"FirmwareVersion": "1.0",
		"UUID":            b.facts.UUID,
		"Status":          object{"State": "Enabled", "Health": "OK"},
		"Links":           object{"ManagerForServers": links("/Systems/1"), "ManagerForChassis": links("/Chassis/1")},
	}
	if b.Faults().OtherBMC {
		m["Model"] = "another"
	}
	if !b.Faults().NoMedia {
		m["VirtualMedia"] = link("/Managers/1/VirtualMedia")
	}
	reply(w, http.StatusOK, m)
}

func (b *BMC) getChassis(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, object{
		"@odata.type":  "#Chassis.v1_5_0.Chassis",
		"@odata.id":    base + "/Chassis/1",
		"Id":           "1",
		"Name":         b.facts.Name,
		"ChassisType":  "RackMount",
		"Manufacturer": b.facts.Manufacturer,
		"Model":        b.facts.Model,
		"SerialNumber": b.facts.Serial,
		"PowerState":   powerNames[b.machine.Power()],
		"Status":       object{"State": "Enabled", "Health": "OK"},
		"Links":        object{"ComputerSystems": links("/Systems/1"), "ManagedBy": links("/Managers/1")},
	})
}

func (b *BMC) getInterfaces(w http.ResponseWriter, _ *http.Request) {
	var paths []string
	for i := range b.facts.MACs {
		paths = append(paths, "/Systems/1/EthernetInterfaces/"+strconv.Itoa(i+1))
	}
	reply(w, http.StatusOK, members("/Systems/1/EthernetInterfaces", "EthernetInterface", paths...))
}

func (b *BMC) getInterface(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("interface")
	n, err := strconv.Atoi(id)
	if err != nil || n < 1 || n > len(b.facts.MACs) {
		refuse(w, http.StatusNotFound, "ResourceMissingAtURI", "There is no interface "+id+".")
		return
	}
	reply(w, http.StatusOK, object{
		"@odata.type":         "#EthernetInterface.v1_4_0.EthernetInterface",
		"@odata.id":           base + "/Systems/1/EthernetInterfaces/" + id,
		"Id":                  id,
		"Name":                "NIC " + id,
		"MACAddress":          b.facts.MACs[n-1],
		"PermanentMACAddress": b.facts.MACs[n-1],
		"Status":              object{"State": "Enabled", "Health": "OK"},
	})
}
