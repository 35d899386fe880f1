// Package spf reads, writes and weighs SPF records (RFC 7208): the TXT record in which a
// domain lists the hosts that may send mail in its name.
//
// Parse and Record.String turn text into a Record and back. Check walks a record the way a
// receiver may have to, through includes and redirects, and says what it costs and whether
// some receiver would end in permerror.
package spf
