package dnsprovider

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libdns/libdns"
	"pgregory.net/rapid"
)

// libdnsSuites are the tests of each module that can be used.
var libdnsSuites = map[string]func(*testing.T){
	"desec": TestDesec,
}

func TestEveryLibdnsModuleHasASuite(t *testing.T) {
	modules, suites := slices.Sorted(maps.Keys(libdnsModules)), slices.Sorted(maps.Keys(libdnsSuites))
	if !slices.Equal(modules, suites) {
		t.Errorf("modules %q, suites %q", modules, suites)
	}
}

// memory is a libdns module in memory. By itself it keeps the contract, SetRecords in two steps.
type memory struct {
	mu      sync.Mutex
	records []libdns.RR // as stored
	calls   []string    // methods, in order

	before func(method string)       // may block, panic, and change the records
	fail   func(method string) error // instead of the method
	lose   string                    // the method that says that it did something, and did nothing

	clumsy bool // as libdns/cloudflare v0.2.2
}

func (m *memory) begin(method string) error {
	m.mu.Lock()
	m.calls = append(m.calls, method)
	before, fail := m.before, m.fail
	m.mu.Unlock()
	if before != nil {
		before(method)
	}
	if fail != nil {
		return fail(method)
	}
	return nil
}

func (m *memory) GetRecords(context.Context, string) ([]libdns.Record, error) {
	if err := m.begin("get"); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var records []libdns.Record
	for _, rr := range m.records {
		if inner, ok := strings.CutPrefix(rr.Data, `"`); ok && m.clumsy && rr.Type == TypeTXT {
			if inner, ok = strings.CutSuffix(inner, `"`); ok { // the outermost quotes, and no others
				rr.Data = inner
			}
		}
		records = append(records, rr)
	}
	return records, nil
}

func (m *memory) AppendRecords(_ context.Context, _ string, records []libdns.Record) ([]libdns.Record, error) {
	if err := m.begin("append"); err != nil || m.lose == "append" {
		return records, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range records {
		m.records = append(m.records, m.quoted(r.RR()))
	}
	return records, nil
}

func (m *memory) SetRecords(_ context.Context, _ string, records []libdns.Record) ([]libdns.Record, error) {
	if err := m.begin("set"); err != nil || m.lose == "set" {
		return records, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	same := func(rr libdns.RR) func(libdns.RR) bool {
		return func(other libdns.RR) bool { return other.Name == rr.Name && other.Type == rr.Type }
	}
	if !m.clumsy {
		for _, r := range records {
			m.records = slices.DeleteFunc(m.records, same(r.RR()))
		}
		for _, r := range records {
			m.records = append(m.records, r.RR())
		}
		return records, nil
	}
	for _, r := range records { // the one record that stands there, whatever it says
		rr := m.quoted(r.RR())
		at := slices.IndexFunc(m.records, same(rr))
		switch {
		case at < 0:
			m.records = append(m.records, rr)
		case slices.ContainsFunc(m.records[at+1:], same(rr)):
			return nil, errors.New("unexpectedly found more than 1 record")
		default:
			m.records[at] = rr
		}
	}
	return records, nil
}

func (m *memory) DeleteRecords(_ context.Context, _ string, records []libdns.Record) ([]libdns.Record, error) {
	err := m.begin("delete")
	if m.clumsy && err != nil {
		return nil, nil // its error for TXT is never looked at
	}
	if err != nil || m.lose == "delete" {
		return records, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range records {
		rr := m.quoted(r.RR())
		if r.RR().Data == "" {
			panic("a wildcard")
		}
		m.records = slices.DeleteFunc(m.records, func(other libdns.RR) bool {
			return other.Name == rr.Name && other.Type == rr.Type && other.Data == rr.Data
		})
	}
	return records, nil
}

func (m *memory) quoted(rr libdns.RR) libdns.RR {
	if m.clumsy && rr.Type == TypeTXT {
		if !strings.HasPrefix(rr.Data, `"`) && !strings.HasSuffix(rr.Data, `"`) {
			rr.Data = fmt.Sprintf("%q", rr.Data)
		}
	}
	return rr
}

// holds returns the texts stored at a name relative to the zone.
func (m *memory) holds(name string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var texts []string
	for _, rr := range m.records {
		if rr.Name == name {
			texts = append(texts, rr.Data)
		}
	}
	slices.Sort(texts)
	return texts
}

// writes returns the methods called, but for get.
func (m *memory) writes() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(m.calls), func(method string) bool { return method == "get" })
}

func memoryOf(name string, texts ...string) *memory {
	m := &memory{}
	for _, text := range texts {
		m.records = append(m.records, libdns.RR{Name: name, Type: TypeTXT, TTL: time.Hour, Data: text})
	}
	return m
}

var memorySerial atomic.Int64

// openMemory opens zone.example in memory. promises are what is said of the module.
func openMemory(t testing.TB, m *memory, promises libdnsModule) Zone {
	t.Helper()
	promises.name, promises.client = "libdns/memory v0", m
	promises.server = fmt.Sprintf("memory%d", memorySerial.Add(1)) // a gate of its own
	if promises.txt.parse == nil {
		promises.txt = rawTXT
	}
	z, err := newLibdnsZone(promises, LibdnsConfig{Zone: "zone.example", Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func txtAt(label string) Key { return Key{label + ".zone.example", TypeTXT} }

func mustRead(t testing.TB, z Zone, key Key) RRset {
	t.Helper()
	set, err := readOne(t.Context(), z, key)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func wantHeld(t *testing.T, m *memory, name string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := m.holds(name); !slices.Equal(got, want) {
		t.Errorf("%s holds %q, want %q", name, got, want)
	}
}

func dkimOf(octets int) string {
	prefix := "v=DKIM1; k=rsa; p="
	return prefix + strings.Repeat("MIIBIjANBgkqhkiG9w0B", octets/20+1)[:octets-len(prefix)]
}

// What libdns/cloudflare v0.2.2 does: SetRecords overwrites the one record that stands there,
// whatever it says, DeleteRecords swallows errors, and quotes go through as they are.
func TestLibdnsClumsyModule(t *testing.T) {
	promises := libdnsModule{txt: presentationTXT, replaces: replacesOne, appends: true, deletes: true}
	open := func(t *testing.T, name string, texts ...string) (*memory, Zone) {
		m := memoryOf(name, texts...)
		m.clumsy = true
		return m, openMemory(t, m, promises)
	}
	verification := `"google-site-verification=abc"`
	apex := Key{"zone.example", TypeTXT}

	t.Run("a sibling is not overwritten", func(t *testing.T) {
		m, z := open(t, "@", verification)
		wantKind(t, applyOne(t.Context(), z, Change{Seen: mustRead(t, z, apex), Add: []string{"v=spf1 -all"}, TTL: time.Hour}), "")
		wantHeld(t, m, "@", verification, `"v=spf1 -all"`)

		seen := mustRead(t, z, apex)
		change := Change{Seen: seen, Remove: pickRecords(t, seen, "v=spf1 -all"), Add: []string{"v=spf1 mx -all"}}
		wantKind(t, applyOne(t.Context(), z, change), Unsupported)
		wantHeld(t, m, "@", verification, `"v=spf1 -all"`)
	})
	t.Run("a single record is replaced in place, a DKIM key too", func(t *testing.T) {
		for _, label := range []string{"_dmarc", "a._domainkey"} {
			m, z := open(t, label, quoteTXT(dkimOf(410)))
			seen := mustRead(t, z, txtAt(label))
			wantValues(t, seen, dkimOf(410))
			wantKind(t, applyOne(t.Context(), z, Change{Seen: seen, Remove: seen.Records, Add: []string{dkimOf(754)}}), "")
			wantHeld(t, m, label, quoteTXT(dkimOf(754)))
			if got := m.writes(); !slices.Equal(got, []string{"set"}) {
				t.Error(got)
			}
		}
	})
	t.Run("two of ours become one in two steps, as it fails where there are several", func(t *testing.T) {
		m, z := open(t, "x", `"old"`, `"older"`)
		seen := mustRead(t, z, txtAt("x"))
		wantKind(t, applyOne(t.Context(), z, Change{Seen: seen, Remove: seen.Records, Add: []string{"new"}, TTL: time.Hour}), "")
		wantHeld(t, m, "x", `"new"`)
		if got := m.writes(); !slices.Equal(got, []string{"delete", "append"}) {
			t.Error(got)
		}
	})
	t.Run("a swallowed error of a deletion is seen by reading back", func(t *testing.T) {
		m, z := open(t, "x", `"ours"`)
		m.fail = func(method string) error {
			if method == "delete" {
				return errors.New("HTTP 403")
			}
			return nil
		}
		seen := mustRead(t, z, txtAt("x"))
		wantKind(t, applyOne(t.Context(), z, Change{Seen: seen, Remove: seen.Records}), "")
		wantValues(t, mustRead(t, z, txtAt("x")), "ours")
	})
	t.Run("texts in presentation form", func(t *testing.T) {
		m, z := open(t, "x")
		for _, value := range []string{`a"b`, `"q"`, `a\b`, "a;b", "ü", "", strings.Repeat("x", 255), strings.Repeat("x", 256)} {
			seen := mustRead(t, z, txtAt("x"))
			wantKind(t, applyOne(t.Context(), z, Change{Seen: seen, Remove: seen.Records, Add: []string{value}, TTL: time.Hour}), "")
			wantValues(t, mustRead(t, z, txtAt("x")), value)
		}
		seen := mustRead(t, z, txtAt("x"))
		wantKind(t, applyOne(t.Context(), z, Change{Seen: seen, Remove: seen.Records}), "")
		wantHeld(t, m, "x")
	})
}

// A module whose SetRecords takes two steps: delete, then add, where that is allowed.
func TestLibdnsTwoSteps(t *testing.T) {
	promises := libdnsModule{appends: true, deletes: true}
	replace := func(t *testing.T, z Zone, key Key) error {
		seen := mustRead(t, z, key)
		return applyOne(t.Context(), z, Change{Seen: seen, Remove: seen.Records, Add: []string{"new"}, TTL: time.Hour})
	}
	failing := func(method string) func(string) error {
		return func(called string) error {
			if called == method {
				return errors.New("no")
			}
			return nil
		}
	}
	for name, c := range map[string]struct {
		label string
		texts []string
		set   func(*memory)
		want  Kind
		then  []string
		calls []string
	}{
		"alone":                     {"x", []string{"old"}, nil, "", []string{"new"}, []string{"delete", "append"}},
		"beside others":             {"x", []string{"old", "theirs"}, nil, "", []string{"new"}, []string{"delete", "append"}},
		"a DKIM key":                {"a._domainkey", []string{"old"}, nil, Unsupported, []string{"old"}, nil},
		"the deletion does nothing": {"x", []string{"old"}, func(m *memory) { m.lose = "delete" }, UnknownOutcome, []string{"old"}, []string{"delete"}},
		"the deletion fails":        {"x", []string{"old"}, func(m *memory) { m.fail = failing("delete") }, UnknownOutcome, []string{"old"}, []string{"delete"}},
		"the addition fails":        {"x", []string{"old"}, func(m *memory) { m.fail = failing("append") }, UnknownOutcome, nil, []string{"delete", "append"}},
		"somebody comes between": {"x", []string{"old"}, func(m *memory) {
			m.before = func(string) {
				m.mu.Lock()
				defer m.mu.Unlock()
				if slices.Contains(m.calls, "delete") && m.calls[len(m.calls)-1] == "get" {
					m.records = append(m.records, libdns.RR{Name: "x", Type: TypeTXT, Data: "theirs"})
				}
			}
		}, UnknownOutcome, []string{"theirs"}, []string{"delete"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := memoryOf(c.label, c.texts...)
			if c.set != nil {
				c.set(m)
			}
			z := openMemory(t, m, promises)
			if name == "beside others" {
				seen := mustRead(t, z, txtAt(c.label))
				change := Change{Seen: seen, Remove: pickRecords(t, seen, "old"), Add: []string{"new"}}
				wantKind(t, applyOne(t.Context(), z, change), Unsupported)
				wantHeld(t, m, c.label, c.texts...)
				return
			}
			err := replace(t, z, txtAt(c.label))
			wantKind(t, err, c.want)
			wantHeld(t, m, c.label, c.then...)
			if got := m.writes(); !slices.Equal(got, c.calls) {
				t.Errorf("calls %q, want %q", got, c.calls)
			}
		})
	}
}

// Of a module of which nothing is known, nothing but a read is used.
func TestLibdnsNoPromises(t *testing.T) {
	m := memoryOf("x", "theirs", "ours")
	z := openMemory(t, m, libdnsModule{})
	seen := mustRead(t, z, txtAt("x"))
	ours := pickRecords(t, seen, "ours")
	for _, change := range []Change{
		{Seen: seen, Add: []string{"new"}},
		{Seen: seen, Remove: ours},
		{Seen: seen, Remove: ours, Add: []string{"new"}},
		{Seen: mustRead(t, z, txtAt("y")), Add: []string{"new"}, TTL: time.Hour},
	} {
		err := applyOne(t.Context(), z, change)
		wantKind(t, err, Unsupported)
		if !strings.HasSuffix(fmt.Sprint(err), ": make the change at the provider") {
			t.Error(err)
		}
	}
	if len(m.writes()) != 0 {
		t.Error(m.writes())
	}
}

func TestLibdnsPanic(t *testing.T) {
	for method, promises := range map[string]libdnsModule{
		"get": {}, "set": {replaces: replacesRRset}, "append": {appends: true}, "delete": {deletes: true},
	} {
		t.Run(method, func(t *testing.T) {
			m := memoryOf("x", "ours")
			z := openMemory(t, m, promises)
			seen := mustRead(t, z, txtAt("x"))
			change := Change{Seen: seen, Add: []string{"new"}}
			if method == "delete" {
				change = Change{Seen: seen, Remove: seen.Records}
			}
			m.before = func(called string) {
				if called == method {
					panic("the token is s3cret")
				}
			}
			want := UnknownOutcome
			if method == "get" {
				want = Unreachable
				_, err := readOne(t.Context(), z, txtAt("x"))
				wantKind(t, err, Unreachable)
			}
			err := applyOne(t.Context(), z, change)
			wantKind(t, err, want)
			if text := fmt.Sprint(err); !strings.Contains(text, "panicked") || strings.Contains(text, "s3cret") {
				t.Error(text)
			}
			m.before = nil
			mustRead(t, z, txtAt("x")) // the zone is free again
		})
	}
	t.Run("a record that is none", func(t *testing.T) {
		z := openMemory(t, &memory{}, libdnsModule{}).(*libdnsZone)
		z.client = nilRecords{z.client}
		_, err := readOne(t.Context(), z, txtAt("x"))
		wantKind(t, err, Unreachable)
	})
}

type nilRecords struct{ libdnsClient }

func (nilRecords) GetRecords(context.Context, string) ([]libdns.Record, error) {
	return []libdns.Record{nil, (*libdns.TXT)(nil)}, nil
}

// A module that does not heed the context is left alone, and nobody else gets in before it has
// returned: its write could come late.
func TestLibdnsDeafModule(t *testing.T) {
	m := memoryOf("x", "old")
	release, entered := make(chan struct{}), make(chan struct{}, 1)
	z := openMemory(t, m, libdnsModule{replaces: replacesRRset})
	seen := mustRead(t, z, txtAt("x"))
	m.before = func(method string) {
		if method == "set" {
			entered <- struct{}{}
			<-release
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- applyOne(ctx, z, Change{Seen: seen, Remove: seen.Records, Add: []string{"late"}, TTL: time.Hour})
	}()
	<-entered
	cancel()
	select {
	case err := <-done:
		wantKind(t, err, UnknownOutcome)
	case <-time.After(patience):
		t.Fatal("still waiting")
	}

	z.(*libdnsZone).timeout = 50 * time.Millisecond
	before := len(m.writes())
	_, err := readOne(t.Context(), z, txtAt("x"))
	wantKind(t, err, Unreachable)
	if len(m.writes()) != before {
		t.Error("got in")
	}
	close(release)
	z.(*libdnsZone).timeout = patience
	wantValues(t, mustRead(t, z, txtAt("x")), "late")
}

func TestLibdnsNames(t *testing.T) {
	m := &memory{}
	for i, name := range []string{"@", "", "zone.example.", "ZONE.Example.", "Sub", "sub.zone.example.", `s\117b`, "*", `\042`, "not", "notzone.example.", "a..b", strings.Repeat("a", 64)} {
		m.records = append(m.records, libdns.RR{Name: name, Type: "txt", TTL: time.Hour, Data: fmt.Sprintf("%d", i)})
	}
	z := openMemory(t, m, libdnsModule{})
	for key, want := range map[string][]string{
		"zone.example":     {"0", "1", "2", "3"},
		"sub.zone.example": {"4", "5", "6"},
		"*.zone.example":   {"7", "8"},
		"not.zone.example": {"9"},
	} {
		wantValues(t, mustRead(t, z, Key{key, TypeTXT}), want...)
	}
	for name, want := range map[string]string{"zone.example": "@", "a.b.zone.example": "a.b", "zone.example.zone.example": "zone.example"} {
		if got := libdnsRelative(name, "zone.example"); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestLibdnsOddRecords(t *testing.T) {
	m := &memory{records: []libdns.RR{
		{Name: "a", Type: TypeA, Data: "nonsense"},
		{Name: "sip", Type: "SRV", Data: "0 5"},
		{Name: "_x", Type: "SVCB", Data: "???"},
		{Name: "cname", Type: "cname", Data: "Target.Example."},
		{Name: "x", Type: TypeTXT, TTL: time.Hour, Data: "ours"},
		{Name: "x", Type: TypeTXT, TTL: time.Minute, Data: "theirs"},
	}}
	z := openMemory(t, m, libdnsModule{})
	set := mustRead(t, z, txtAt("x"))
	wantValues(t, set, "ours", "theirs")
	if set.TTL != time.Minute {
		t.Errorf("TTL %v", set.TTL)
	}
	if set := mustRead(t, z, txtAt("cname")); set.Alias != "target.example" {
		t.Errorf("%+v", set)
	}
	_, err := readOne(t.Context(), z, Key{"a.zone.example", TypeA})
	wantKind(t, err, Unsupported)
}

// A list that lacks the zone's own NS proves nothing.
func TestLibdnsIncompleteList(t *testing.T) {
	m := memoryOf("x", "ours")
	z := openMemory(t, m, libdnsModule{showsNS: true, replaces: replacesRRset})
	_, err := readOne(t.Context(), z, txtAt("y"))
	wantKind(t, err, Unreachable)
	wantKind(t, applyOne(t.Context(), z, Change{Seen: RRset{Key: txtAt("y")}, Add: []string{"x"}, TTL: time.Hour}), Unreachable)
	m.records = append(m.records, libdns.RR{Name: "sub", Type: "NS", Data: "ns."})
	_, err = readOne(t.Context(), z, txtAt("y"))
	wantKind(t, err, Unreachable)
	m.records = append(m.records, libdns.RR{Name: "@", Type: "NS", Data: "ns."})
	wantValues(t, mustRead(t, z, txtAt("y")))
}

// Whatever stands there, whatever is wanted and whatever a module promises and keeps: what is not
// ours stays as it is, ours never stand there twice, and are away in no moment but where nothing
// else stands and it is no DKIM key.
func TestLibdnsKeepsOthers(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		label := rapid.SampledFrom([]string{"@", "_dmarc", "a._domainkey"}).Draw(rt, "label")
		theirs := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-c" \\]{0,4}`), 0, 3, rapid.ID).Draw(rt, "theirs")
		ours := rapid.SampledFrom([][]string{nil, {"v=1 old"}, {"v=1 old", "v=1 older"}}).Draw(rt, "ours")
		add := rapid.SampledFrom([][]string{nil, {"v=1 new"}}).Draw(rt, "add")
		promises := libdnsModule{
			txt:      rapid.SampledFrom([]libdnsText{rawTXT, desecTXT}).Draw(rt, "text"),
			replaces: libdnsReplaces(rapid.IntRange(0, 2).Draw(rt, "replaces")),
			appends:  rapid.Bool().Draw(rt, "appends"),
			deletes:  rapid.Bool().Draw(rt, "deletes"),
		}
		m := memoryOf(label, append(slices.Clone(theirs), ours...)...)
		wanted := slices.Sorted(slices.Values(theirs))
		count := func() (mine int) {
			var rest []string
			for _, text := range m.holds(label) {
				if strings.HasPrefix(text, "v=1") {
					mine++
				} else {
					rest = append(rest, text)
				}
			}
			if !slices.Equal(rest, wanted) {
				rt.Fatalf("others are %q now, were %q", rest, wanted)
			}
			return mine
		}
		gap := false
		m.before = func(string) {
			if mine := count(); mine == 0 && len(ours) > 0 {
				gap = true
			} else if mine > max(len(ours), 1) {
				rt.Fatalf("%d of ours", mine)
			}
		}
		z := openMemory(t, m, promises)
		key := Key{label + ".zone.example", TypeTXT}
		if label == "@" {
			key.Name = "zone.example"
		}
		seen := mustRead(t, z, key)
		change := Change{Seen: seen, Add: add, TTL: time.Hour}
		for _, r := range seen.Records {
			if strings.HasPrefix(r.Value, "v=1") {
				change.Remove = append(change.Remove, r)
			}
		}
		err := applyOne(t.Context(), z, change)
		mine := count()
		switch KindOf(err) {
		case "":
			if mine != len(add) {
				rt.Fatalf("%d of ours after all went well", mine)
			}
		case Unsupported:
			if len(m.writes()) != 0 || mine != len(ours) {
				rt.Fatalf("refused after %q", m.writes())
			}
		default:
			rt.Fatal(err)
		}
		if gap && len(add) > 0 && (len(theirs) > 0 || isDKIM(key.Name)) {
			rt.Fatal("a gap")
		}
	})
}

// What a text of TXT records promises, for each text that a module uses.
func TestLibdnsTexts(t *testing.T) {
	for name, text := range map[string]struct {
		libdnsText
		shown func(written string) string // how the module shows what it was given
	}{
		"raw":          {rawTXT, func(s string) string { return s }},
		"presentation": {presentationTXT, func(s string) string { return strings.TrimSuffix(strings.TrimPrefix(s, `"`), `"`) }},
		"desec":        {desecTXT, desecShown},
	} {
		t.Run(name, rapid.MakeCheck(func(t *rapid.T) {
			pieces := rapid.SliceOf(rapid.SampledFrom([]string{`"`, ` `, `\`, `" "`, "a", ";", "ü", strings.Repeat("x", 253), strings.Repeat("y", 255)}))
			value := strings.Join(pieces.Draw(t, "value"), "")
			if written, ok := text.write(value); ok {
				shown := text.shown(written)
				if got, err := text.parse(shown); err != nil || got != value {
					t.Fatalf("written %q, shown %q, read %q, %v", written, shown, got, err)
				}
				again, ok := text.keep(shown)
				if !ok || text.shown(again) != shown {
					t.Fatalf("shown %q, kept as %q, %v", shown, again, ok)
				}
			}
			// Of anything that is shown, what can be kept is shown as it was.
			if again, ok := text.keep(value); ok && text.shown(again) != value {
				t.Fatalf("shown %q, kept as %q, then shown %q", value, again, text.shown(again))
			}
		}))
	}
}
