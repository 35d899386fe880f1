// Package tlsrpt is SMTP TLS Reporting (RFC 8460): the TXT record in which a domain asks senders
// to report whether they could deliver to it over TLS.
//
// # The protocol
//
// A domain that publishes an MTA-STS policy (RFC 8461) or DANE records (RFC 7672) asks senders not
// to deliver where TLS fails. What then does not arrive leaves no trace at the domain, whose
// servers were never asked. Hence this record, at _smtp._tls.example.com:
//
//	v=TLSRPTv1; rua=mailto:tls-reports@example.org,https://reports.example.com/v1/tlsrpt
//
// Once a day a sender that supports it sends a JSON document to one or more of these addresses: how
// many sessions succeeded, how many failed, and why. No consent of the addresses' domains is
// needed. Reports by mail are delivered even where the policy would forbid it (§5.3), but not all senders
// see to that, so that an address elsewhere is the safer one.
//
// # The package
//
// [Parse] and [Record.String] turn text into a [Record] and back; [Lint] judges what a domain
// publishes, with codes that stay the same.
package tlsrpt
