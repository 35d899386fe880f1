package controllers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/test/secrecy"
)

// watchman sees to it, in every test that has a world, that no private key leaves the Secrets (Law 13): not to another object,
// the metadata of a Secret, an Event, an error, a line of the log or what is printed of a crash.
type watchman struct{ keys secrecy.Keys }

// stored is told of every object that the operator stores.
func (w *watchman) stored(t *testing.T, o client.Object) {
	t.Helper()
	if secret, is := o.(*corev1.Secret); is {
		for file, content := range secret.Data {
			w.keys.Learn(secret.Name+"/"+file, content)
		}
		o = &corev1.Secret{ObjectMeta: secret.ObjectMeta}
	}
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	w.read(t, fmt.Sprintf("%T %s", o, o.GetName()), string(text))
}

// read is told of what people and programs can see.
func (w *watchman) read(t *testing.T, where, text string) {
	t.Helper()
	if key := w.keys.Find(text); key != "" {
		t.Errorf("%s holds a part of the private key in %s", where, key)
	}
}

// logged is all that was logged, also what is for debugging.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

var everything logged

// Write implements io.Writer.
func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// since returns what was logged after the first n octets.
func (l *logged) since(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text.Bytes()[n:])
}

func (l *logged) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Len()
}

func (l *logged) logger() logr.Logger {
	return logr.FromSlogHandler(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.Level(-100)}))
}

// recorder passes Events on when they were read.
type recorder struct {
	*events.FakeRecorder
	w *world
}

// Eventf implements events.EventRecorder.
func (r *recorder) Eventf(about, related runtime.Object, kind, reason, action, note string, args ...any) {
	text := fmt.Sprintf(note, args...)
	r.w.secrecy.read(r.w.t, "an Event", text)
	r.FakeRecorder.Eventf(about, related, kind, reason, action, note, args...)
}
