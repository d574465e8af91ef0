package emulator

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path"
	"time"
)

// mediaPatience is how long an image may take to be fetched.
const mediaPatience = time.Minute

// FetchMedia writes the image at the URL to w, as a BMC fetches it: whole, and by
// itself. What is longer than most bytes is refused.
func FetchMedia(ctx context.Context, url string, w io.Writer, most int64) error {
	ctx, cancel := context.WithTimeout(ctx, mediaPatience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("cannot fetch the image: %w", err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("cannot fetch the image: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("cannot fetch the image: the server says %s", res.Status)
	}
	n, err := io.Copy(w, io.LimitReader(res.Body, most+1))
	if err == nil && n > most {
		err = fmt.Errorf("it is larger than %d bytes", most)
	}
	if err != nil {
		return fmt.Errorf("cannot fetch the image: %w", err)
	}
	return nil
}

// drives are the virtual drives of a machine, and what each takes.
var drives = []struct {
	id    string
	types []string
}{{"Floppy", []string{"Floppy", "USBStick"}}, {"Cd", []string{"CD", "DVD"}}}

// A mediaResource answers for a drive, or for all, below a system or a manager.
type mediaResource func(b *BMC, w http.ResponseWriter, r *http.Request, of string)

// ofMedia lets the resource answer where the BMC has its drives.
func ofMedia(of string, answer mediaResource) resource {
	return func(b *BMC, w http.ResponseWriter, r *http.Request) {
		f := b.Faults()
		if f.NoMedia || f.OldMedia && of == "/Systems/1" {
			refuse(w, http.StatusNotFound, "ResourceMissingAtURI", "The resource at the URI "+r.URL.Path+" was not found.")
			return
		}
		answer(b, w, r, of)
	}
}

func (b *BMC) getDrives(w http.ResponseWriter, _ *http.Request, of string) {
	var paths []string
	for _, d := range drives {
		paths = append(paths, of+"/VirtualMedia/"+d.id)
	}
	reply(w, http.StatusOK, object{
		"@odata.type": "#VirtualMediaCollection.VirtualMediaCollection", "@odata.id": base + of + "/VirtualMedia",
		"Name": "Virtual media", "Members": links(paths...), "Members@odata.count": len(paths),
	})
}

func (b *BMC) getDrive(w http.ResponseWriter, r *http.Request, of string) {
	id := r.PathValue("drive")
	for _, d := range drives {
		if d.id == id {
			reply(w, http.StatusOK, b.drive(d.id, d.types, of))
			return
		}
	}
	refuse(w, http.StatusNotFound, "ResourceMissingAtURI", "There is no drive "+id+".")
}

func (b *BMC) drive(id string, types []string, of string) object {
	b.mu.Lock()
	image, old, stale := b.image, b.faults.OldMedia, b.stale
	if !b.faults.StaleImage {
		stale = ""
	}
	b.mu.Unlock()
	at := base + of + "/VirtualMedia/" + id
	d := object{
		"@odata.type": "#VirtualMedia.v1_3_0.VirtualMedia", "@odata.id": at, "Id": id, "Name": "Virtual " + id,
		"MediaTypes": types, "Inserted": false, "Image": nil, "ImageName": nil, "ConnectedVia": "NotConnected", "WriteProtected": true,
	}
	if id == "Cd" && image != "" {
		d["Inserted"], d["Image"], d["ImageName"], d["ConnectedVia"] = true, image, path.Base(image), "URI"
	}
	if id == "Cd" && image == "" && stale != "" {
		d["Image"], d["ImageName"] = stale, path.Base(stale)
	}
	if id == "Cd" && !old {
		d["Actions"] = object{
			"#VirtualMedia.InsertMedia": object{"target": at + "/Actions/VirtualMedia.InsertMedia"},
			"#VirtualMedia.EjectMedia":  object{"target": at + "/Actions/VirtualMedia.EjectMedia"},
		}
	}
	return d
}

func (b *BMC) postInsert(w http.ResponseWriter, r *http.Request, _ string) {
	var body struct{ Image, TransferProtocolType string }
	switch {
	case !decode(w, r, &body):
	case b.Faults().WithProtocol && body.TransferProtocolType == "":
		refuse(w, http.StatusBadRequest, "ActionParameterMissing", "The action InsertMedia requires the parameter TransferProtocolType to be present in the request body.")
	default:
		b.insert(w, r, body.Image)
	}
}

func (b *BMC) postEject(w http.ResponseWriter, r *http.Request, _ string) { b.eject(w, r) }

// patchDrive is how old services insert and eject.
func (b *BMC) patchDrive(w http.ResponseWriter, r *http.Request, _ string) {
	var body struct {
		Image                    *string
		Inserted, WriteProtected *bool
	}
	switch {
	case !decode(w, r, &body):
	case b.Faults().ImageAlone && (body.Inserted != nil || body.WriteProtected != nil):
		refuse(w, http.StatusBadRequest, "PropertyUnknown", "The property Inserted is not in the list of valid properties for the resource.")
	case !b.Faults().OldMedia:
		refuse(w, http.StatusMethodNotAllowed, "ActionNotSupported", "Media is inserted and ejected by actions.")
	case body.Image == nil:
		b.eject(w, r)
	default:
		b.insert(w, r, *body.Image)
	}
}

// insert fetches the image; in a drive that is not empty it fails.
func (b *BMC) insert(w http.ResponseWriter, r *http.Request, image string) {
	b.mu.Lock()
	taken := b.image != ""
	b.mu.Unlock()
	if image == "" || taken {
		refuse(w, http.StatusBadRequest, "ResourceInUse", "Something is in the drive already, or there is no image to insert.")
		return
	}
	// A command that was given is carried out also when its giver leaves.
	if err := b.machine.InsertMedia(context.WithoutCancel(r.Context()), image); err != nil {
		refuse(w, http.StatusBadRequest, "ResourceAtUriUnauthorized", "The image at "+image+" cannot be inserted: "+err.Error())
		return
	}
	b.put(image)
	b.log.Info("media inserted")
	w.WriteHeader(http.StatusNoContent)
}

func (b *BMC) eject(w http.ResponseWriter, r *http.Request) {
	if b.Faults().KeepMedia {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if err := b.machine.EjectMedia(context.WithoutCancel(r.Context())); err != nil {
		refuse(w, http.StatusInternalServerError, "InternalError", err.Error())
		return
	}
	b.put("")
	b.log.Info("media ejected")
	w.WriteHeader(http.StatusNoContent)
}

func (b *BMC) put(image string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.image, b.stale = image, b.image
}

// Inserted is the URL of what is in the virtual drive; empty: nothing.
func (b *BMC) Inserted() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.image
}
