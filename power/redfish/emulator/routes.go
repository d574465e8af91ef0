package emulator

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
)

// object is a JSON object of a Redfish resource.
type object = map[string]any

const base = "/redfish/v1"

func link(path string) object { return object{"@odata.id": base + path} }

func links(paths ...string) []object {
	all := []object{}
	for _, p := range paths {
		all = append(all, link(p))
	}
	return all
}

// A resource answers for a BMC.
type resource func(*BMC, http.ResponseWriter, *http.Request)

// service is every resource, the same of all BMCs: each is asked by the context's.
var service = sync.OnceValue(func() http.Handler {
	mux := http.NewServeMux()
	open := func(pattern string, h resource) { mux.HandleFunc(pattern, guard(h, false)) }
	closed := func(pattern string, h resource) { mux.HandleFunc(pattern, guard(h, true)) }

	open("GET /redfish", func(_ *BMC, w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, object{"v1": base + "/"})
	})
	open("GET "+base+"/{$}", (*BMC).getRoot)
	open("GET "+base, (*BMC).getRoot)
	open("POST "+base+"/SessionService/Sessions", (*BMC).postSession)
	closed("GET "+base+"/SessionService", (*BMC).getSessionService)
	closed("GET "+base+"/SessionService/Sessions", (*BMC).getSessions)
	closed("DELETE "+base+"/SessionService/Sessions/{session}", (*BMC).deleteSession)
	closed("GET "+base+"/Systems", (*BMC).getSystems)
	closed("GET "+base+"/Systems/1", (*BMC).getSystem)
	closed("GET "+base+"/Systems/Self", (*BMC).getSystem)
	closed("GET "+base+"/Systems/1/SD", (*BMC).getSettings)
	closed("PATCH "+base+"/Systems/1/SD", (*BMC).patchSystem)
	closed("GET /console0", (*BMC).getConsole)
	closed("PATCH "+base+"/Systems/1", (*BMC).patchSystem)
	closed("POST "+base+"/Systems/1/Actions/ComputerSystem.Reset", (*BMC).postReset)
	closed("GET "+base+"/Systems/1/EthernetInterfaces", (*BMC).getInterfaces)
	closed("GET "+base+"/Systems/1/EthernetInterfaces/{interface}", (*BMC).getInterface)
	closed("GET "+base+"/Managers", getCollection("/Managers", "Manager"))
	closed("GET "+base+"/Managers/1", (*BMC).getManager)
	for _, of := range []string{"/Systems/1", "/Managers/1"} {
		closed("GET "+base+of+"/VirtualMedia", ofMedia(of, (*BMC).getDrives))
		closed("GET "+base+of+"/VirtualMedia/{drive}", ofMedia(of, (*BMC).getDrive))
		closed("PATCH "+base+of+"/VirtualMedia/Cd", ofMedia(of, (*BMC).patchDrive))
		closed("POST "+base+of+"/VirtualMedia/Cd/Actions/VirtualMedia.InsertMedia", ofMedia(of, (*BMC).postInsert))
		closed("POST "+base+of+"/VirtualMedia/Cd/Actions/VirtualMedia.EjectMedia", ofMedia(of, (*BMC).postEject))
	}
	closed("GET "+base+"/Chassis", getCollection("/Chassis", "Chassis"))
	closed("GET "+base+"/Chassis/1", (*BMC).getChassis)
	closed("GET "+base+"/TaskService", (*BMC).getTaskService)
	closed("GET "+base+"/TaskService/Tasks", (*BMC).getTasks)
	closed("GET "+base+"/TaskService/Tasks/{task}", (*BMC).getTask)
	closed("/", func(_ *BMC, w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, "ResourceMissingAtURI", "The resource at the URI "+r.URL.Path+" was not found.")
	})
	return withoutSlash(mux)
})

// asked is the context's key of the BMC that is asked.
type asked struct{}

// ServeHTTP answers a request to the service.
func (b *BMC) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	service().ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), asked{}, b)))
}

// withoutSlash makes /redfish/v1/Systems/ the same as /redfish/v1/Systems.
func withoutSlash(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path := strings.TrimSuffix(r.URL.Path, "/"); path != r.URL.Path && path != base {
			u := *r.URL
			u.Path = path
			r2 := *r
			r2.URL = &u
			r = &r2
		}
		next.ServeHTTP(w, r)
	})
}

// guard is in front of every resource: faults, then authentication.
func guard(next resource, authenticated bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		b := r.Context().Value(asked{}).(*BMC)
		w.Header().Set("OData-Version", "4.0")
		if b.fault(r.Context()) {
			w.Header().Set("Retry-After", "1")
			refuse(w, http.StatusServiceUnavailable, "ServiceTemporarilyUnavailable", "The service is temporarily unavailable. Retry in 1 seconds.")
			return
		}
		if authenticated && !b.allowed(r) {
			w.Header().Set("WWW-Authenticate", `Basic realm="BMC"`)
			refuse(w, http.StatusUnauthorized, "NoValidSession", "There is no valid session established with the implementation.")
			return
		}
		next(b, w, r)
	}
}

func reply(w http.ResponseWriter, status int, body any) {
	raw, err := json.MarshalIndent(body, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(raw, '\n')) // a client that left is no concern of ours
}

// refuse answers with an error of the Base message registry (DSP0266 section 8.6).
func refuse(w http.ResponseWriter, status int, message, words string) {
	reply(w, status, object{"error": object{
		"code":    "Base.1.8.GeneralError",
		"message": "A general error has occurred. See ExtendedInfo for more information.",
		"@Message.ExtendedInfo": []object{{
			"@odata.type": "#Message.v1_1_1.Message",
			"MessageId":   "Base.1.8." + message,
			"Message":     words,
			"Severity":    "Critical",
		}},
	}})
}

// etag is a strong entity tag over a resource as it is told.
func etag(body any) string {
	raw, _ := json.Marshal(body) // only maps of strings and numbers
	sum := sha256.Sum256(raw)
	return `"` + hex.EncodeToString(sum[:8]) + `"`
}

// decode reads a request's JSON, or answers that it is none.
func decode(w http.ResponseWriter, r *http.Request, into any) bool {
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(into)
	if err != nil {
		refuse(w, http.StatusBadRequest, "MalformedJSON", "The request body submitted was malformed JSON.")
	}
	return err == nil
}
