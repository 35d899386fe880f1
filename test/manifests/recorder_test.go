package manifests

import (
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
)

// recorder stands between an operator and the API server. It notes what is asked for, as a rule of RBAC
// would put it, and what is forbidden. The operator's token passes through.
type recorder struct {
	address   string // https://…
	authority []byte // PEM

	mu        sync.Mutex
	used      map[string]bool
	forbidden []string
}

func newRecorder(t *testing.T, config *rest.Config) *recorder {
	t.Helper()
	target, err := url.Parse(config.Host)
	must(t, err)
	transport, err := rest.TransportFor(rest.AnonymousClientConfig(config)) // nothing of the administrator's
	must(t, err)
	r := &recorder{used: map[string]bool{}}
	forward := httputil.NewSingleHostReverseProxy(target)
	forward.Transport, forward.FlushInterval, forward.ModifyResponse = transport, -1, r.note
	forward.ErrorLog = log.New(io.Discard, "", 0) // an operator that ends leaves its watches
	server := httptest.NewTLSServer(forward)      // a token is sent over TLS only
	t.Cleanup(server.Close)
	r.address = server.URL
	r.authority = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return r
}

func (r *recorder) note(response *http.Response) error {
	right := rightOf(response.Request)
	r.mu.Lock()
	defer r.mu.Unlock()
	if response.StatusCode == http.StatusForbidden || response.StatusCode == http.StatusUnauthorized {
		r.forbidden = append(r.forbidden, fmt.Sprintf("%s %s: %s", response.Request.Method, response.Request.URL, response.Status))
	} else if right != "" {
		r.used[right] = true
	}
	return nil
}

// rightOf is "verb group/resource/subresource"; "" for what is about no resource.
func rightOf(request *http.Request) string {
	parts := strings.Split(strings.Trim(request.URL.Path, "/"), "/")
	group := ""
	switch {
	case len(parts) > 2 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) > 3 && parts[0] == "apis":
		group, parts = parts[1], parts[3:]
	default:
		return "" // discovery
	}
	if len(parts) > 2 && parts[0] == "namespaces" {
		parts = parts[2:]
	}
	resource := parts[0]
	if len(parts) > 2 {
		resource += "/" + parts[2]
	}
	verb := map[string]string{http.MethodPost: "create", http.MethodPut: "update", http.MethodPatch: "patch", http.MethodDelete: "delete"}[request.Method]
	switch {
	case verb == "delete" && len(parts) == 1:
		verb = "deletecollection"
	case verb != "":
	case request.URL.Query().Get("watch") == "true":
		verb = "watch"
	case len(parts) == 1:
		verb = "list"
	default:
		verb = "get"
	}
	return fmt.Sprintf("%s %s/%s", verb, group, resource)
}

func (r *recorder) refused() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.forbidden)
}

func (r *recorder) rights() map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	used := map[string]bool{}
	for right := range r.used {
		used[right] = true
	}
	return used
}

func TestRightOf(t *testing.T) {
	for given, want := range map[string]string{
		"GET /api/v1/namespaces/a/secrets/b":                                    "get /secrets",
		"GET /api/v1/secrets?watch=true":                                        "watch /secrets",
		"GET /api/v1/namespaces/a":                                              "get /namespaces",
		"GET /api/v1/namespaces":                                                "list /namespaces",
		"GET /apis/maildomain.dev/v1alpha1/maildomains":                         "list maildomain.dev/maildomains",
		"PATCH /apis/maildomain.dev/v1alpha1/namespaces/a/maildomains/b/status": "patch maildomain.dev/maildomains/status",
		"PUT /apis/coordination.k8s.io/v1/namespaces/a/leases/b":                "update coordination.k8s.io/leases",
		"POST /apis/events.k8s.io/v1/namespaces/a/events":                       "create events.k8s.io/events",
		"DELETE /api/v1/namespaces/a/configmaps":                                "deletecollection /configmaps",
		"GET /apis/maildomain.dev/v1alpha1":                                     "",
		"GET /api/v1":                                                           "",
		"GET /apis":                                                             "",
		"PATCH /apis/maildomain.dev/v1alpha1/clusterdnsproviders/a/status?x=y":  "patch maildomain.dev/clusterdnsproviders/status",
	} {
		method, address, _ := strings.Cut(given, " ")
		request, err := http.NewRequestWithContext(t.Context(), method, "http://localhost"+address, nil)
		must(t, err)
		if got := rightOf(request); got != want {
			t.Errorf("%s is %q, want %q", given, got, want)
		}
	}
}
