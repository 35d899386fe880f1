package dnsprovider

// units parts what is to be done into what is made as one step, by index, in the order of the first of each;
// what is empty is in none. A name's CNAME, A and AAAA records are one: a CNAME that takes the place of
// addresses, or they of it, can't stand beside what it replaces (RFC 1034 §3.6.2), and between two steps the
// name would lead nowhere.
func units(changes []Change) [][]int {
	var all [][]int
	at := map[string]int{} // the unit of a name
	for i, c := range changes {
		if c.Empty() {
			continue
		}
		if n, known := at[c.Seen.Name]; known && leading(c.Seen.Type) {
			all[n] = append(all[n], i)
			continue
		}
		if leading(c.Seen.Type) {
			at[c.Seen.Name] = len(all)
		}
		all = append(all, []int{i})
	}
	return all
}

// leading reports whether records of the type lead from a name to servers, see HostKeys.
func leading(recordType string) bool {
	return recordType == TypeCNAME || recordType == TypeA || recordType == TypeAAAA
}

// clears reports whether of what stands at the key nothing stays, and nothing comes.
func (c Change) clears() bool { return !c.keepsSome() && len(c.Add) == 0 }
