package dnsprovider

// libdnsText is how a module shows and takes the text of TXT records. By the libdns contract it
// is raw; in fact it is whatever the module and its provider make of it. A text below is what
// the module's methods take or return.
type libdnsText struct {
	// parse says what a record says that the module shows, whoever wrote it.
	parse func(text string) (value string, err error)
	// write returns the text of which a record of the value comes about, and is shown as the value
	// again; ok is false where there is none.
	write func(value string) (text string, ok bool)
	// keep returns the text of which the record that is shown comes about anew, octet by octet; ok
	// is false where that is not certain.
	keep func(text string) (again string, ok bool)
	// remove returns the text for which DeleteRecords finds the record that is shown, and no other.
	remove func(text string) (same string, ok bool)
}

// rawTXT is as the contract wants it.
var rawTXT = libdnsText{
	parse:  func(text string) (string, error) { return text, nil },
	write:  sameText,
	keep:   sameText,
	remove: sameText,
}

// presentationTXT is of modules that put quotes around any text that has none, and take the
// outermost ones away again, whatever is between them: text in presentation form goes through as
// it is.
var presentationTXT = libdnsText{
	parse:  func(text string) (string, error) { return unquoteTXT(`"` + text + `"`) },
	write:  func(value string) (string, bool) { return quoteTXT(value), true },
	keep:   func(text string) (string, bool) { return `"` + text + `"`, true },
	remove: func(text string) (string, bool) { return `"` + text + `"`, true },
}

func sameText(text string) (string, bool) { return text, true }
