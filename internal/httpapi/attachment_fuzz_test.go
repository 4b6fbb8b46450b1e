package httpapi

import (
	"bytes"
	"context"
	"io"
	"mime/multipart"
	"net/http/httptest"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
)

// FuzzAttachmentForm: whatever a form is made of, its files are read in their order until the
// form ends or what is wrong with it has a code; a life is within its bounds, and no file
// comes before it; a content that was read to its end was followed by a boundary.
func FuzzAttachmentForm(f *testing.F) {
	const file = "--b\r\nContent-Disposition: form-data; name=f; filename=\"f\"\r\n\r\nx\r\n"
	const life = "--b\r\nContent-Disposition: form-data; name=expires_in_s\r\n\r\n60\r\n"
	for _, seed := range []string{"", "--b--", file + "--b--\r\n", life + file + file + "--b--", file + life + "--b--\r\n", life + life, file, file + "--b\r\nContent-", "--b\r\n\r\n--b--",
		"--b\r\nContent-Disposition: form-data; filename=\"\"\r\n\r\n\r\n" + file + "--b--", "--b\r\nContent-Transfer-Encoding: quoted-printable\r\nContent-Disposition: form-data; filename*=UTF-8''%e2%80%ae\r\n\r\n=41\r\n--b--"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c := &call{w: &recorder{ResponseWriter: httptest.NewRecorder()}, r: httptest.NewRequest("POST", "/", bytes.NewReader(text))}
		body := &formBody{c: c}
		form := &attachmentForm{body: body, parts: multipart.NewReader(body, "b"), length: int64(len(text)), trailer: int64(len("\r\n--b--")), life: limits.AttachmentLifeDefault}
		var before time.Duration
		for files := 0; ; files++ {
			one, err := form.next(context.Background())
			if err == io.EOF {
				return
			}
			if err != nil {
				if code := sallyport.CodeOf(err); code != sallyport.CodeInvalidAttachments && code != sallyport.CodeInvalidExpiry && code != sallyport.CodeUnknownField {
					t.Fatalf("%q: %v", text, err)
				}
				return
			}
			if one.Life < limits.AttachmentLifeMin || one.Life > limits.AttachmentLifeMax || files > 0 && one.Life != before {
				t.Fatalf("%q: a life of %s, after %s", text, one.Life, before)
			}
			before = one.Life
			content, done := one.Content(context.Background())
			n, err := io.Copy(io.Discard, content)
			done()
			if err == nil && one.SizeMax >= 0 && n > one.SizeMax {
				t.Fatalf("%q: %d bytes of at most %d", text, n, one.SizeMax)
			}
			if err != nil && sallyport.CodeOf(err) != sallyport.CodeInvalidAttachments {
				t.Fatalf("%q: %v", text, err)
			}
		}
	})
}
