package ledger_test

import (
	"testing"

	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/ledger"
)

// A name that moved to another zone: what stands there is not ours, and nothing of it is known.
func TestEntriesAreOfOneZone(t *testing.T) {
	const value = "v=DMARC1; p=none"
	there := dnsprovider.RRset{Key: key, Records: []dnsprovider.Record{{Value: value}}}
	gone := dnsprovider.RRset{Key: key}
	l := ledger.New("example.com")
	l.Settle("example.com", key, "DMARC", value)
	for _, seen := range []dnsprovider.RRset{there, gone} {
		if owned := l.Owned("_dmarc.example.com", seen); len(owned) > 0 {
			t.Errorf("owned in a zone that it was not written to: %v", owned)
		}
		if owned := l.Owned("example.com", seen); len(owned) != 1 {
			t.Errorf("not owned in its own zone: %v", owned)
		}
	}
	l.Settle("_dmarc.example.com", key, "DMARC", "v=DMARC1; p=reject")
	l.Settle("_dmarc.example.com", key, "DMARC", "")
	if !l.Settled("example.com", key, value) || len(l.At(key)) != 1 {
		t.Errorf("another zone's read-back changed %+v", l.Entries)
	}

	// An entry of an older ledger counts for the zone in which it is first seen standing.
	old := &ledger.Ledger{Version: 1, Entries: []ledger.Entry{{Name: key.Name, Type: key.Type, Purpose: "DMARC", Value: value, Settled: true}}}
	if owned := old.Owned("example.com", gone); len(owned) > 0 {
		t.Errorf("owned without ever having been seen: %v", owned)
	}
	if owned := old.Owned("example.com", there); len(owned) != 1 || len(old.In("example.com", key)) != 1 {
		t.Errorf("not owned where it stands: %v", owned)
	}
	old.Settle("example.com", key, "DMARC", value)
	if len(old.Entries) != 1 || old.Entries[0].Zone != "example.com" || len(old.Owned("example.com", gone)) != 1 {
		t.Errorf("after it was seen: %+v", old.Entries)
	}
}
