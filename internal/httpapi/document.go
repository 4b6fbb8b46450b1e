package httpapi

import (
	"mime"
	"net/http"
	"strings"

	"sallyport/internal/openapi"
)

// openAPI is GET /openapi.json: the document of this API.
func (c *call) openAPI() error {
	files, err := c.api.files()
	if err != nil {
		return err
	}
	c.sendFile(files.Document)
	return nil
}

// docs is GET /docs: the document as people read it.
func (c *call) docs() error {
	files, err := c.api.files()
	if err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("Content-Security-Policy", files.Page.Policy)
	h.Set("Referrer-Policy", "no-referrer")
	c.sendFile(files.Page)
	return nil
}

// sendFile sends what changes with the program alone: it may be kept, if it is asked
// every time whether it is still the same (RFC 9111, section 5.2.2.4).
func (c *call) sendFile(f openapi.File) {
	h := c.w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", f.ETag)
	if hasETag(c.r.Header["If-None-Match"], f.ETag) {
		c.w.WriteHeader(http.StatusNotModified)
		return
	}
	c.send(http.StatusOK, f.MediaType, f.Body)
}

// hasETag tells whether If-None-Match names an ETag (RFC 9110, section 13.1.2).
func hasETag(ifNoneMatch []string, etag string) bool {
	for _, given := range elements(ifNoneMatch) {
		if given == "*" || strings.TrimPrefix(given, "W/") == etag {
			return true
		}
	}
	return false
}

// wantsHomePage tells whether a browser was pointed at the server's own address. Programs
// are answered as on any path that there isn't.
func (c *call) wantsHomePage() bool {
	if c.r.URL.Path != "/" || getFor(c.r.Method) != http.MethodGet {
		return false
	}
	for _, part := range elements(c.r.Header["Accept"]) {
		if media, _, err := mime.ParseMediaType(part); err == nil && media == "text/html" {
			return true
		}
	}
	return false
}

func (c *call) redirectToDocs() error {
	c.w.Header().Set("Location", "/docs")
	c.w.WriteHeader(http.StatusFound)
	return nil
}
