package ledger

import "slices"

// SpecSeen is which sections spec had when it was last looked at, and which of them were taken
// away. Absence alone is never an instruction: a section is dropped only where a later
// generation of the same object no longer has what an earlier one had.
type SpecSeen struct {
	UID        string   `json:"uid,omitempty"`
	Generation int64    `json:"generation,omitempty"`
	Sections   []string `json:"sections,omitempty"`
	Dropped    []string `json:"dropped,omitempty"` // to be withdrawn
}

// Next returns what is known after spec was seen with the sections. An object of another UID
// (deleted and created again) or of an earlier generation (a restored backup) drops nothing:
// nobody asked for it. A section that is back is no longer dropped.
func (s SpecSeen) Next(uid string, generation int64, sections []string) SpecSeen {
	next := SpecSeen{UID: uid, Generation: generation, Sections: slices.Sorted(slices.Values(sections))}
	dropped := slices.Clone(s.Dropped)
	if s.UID == uid && generation > s.Generation {
		dropped = append(dropped, s.Sections...)
	}
	slices.Sort(dropped)
	for _, section := range slices.Compact(dropped) {
		if !slices.Contains(sections, section) {
			next.Dropped = append(next.Dropped, section)
		}
	}
	return next
}
