// Package controllers is where Kubernetes meets the rest: it gathers what a MailDomain wants,
// what the ledger knows and what the world serves (I/O), has pure functions decide, acts (I/O),
// and reports in one write of status.
//
// One pass never depends on the one before it: what must be remembered is in the ledger, and
// a process that dies between any two effects is followed by one that reads the ledger and the
// world again. The order of the effects makes that safe:
//
//  1. the signer's Secret, from keys that are proven;
//  2. the ledger, with new keys and with an intent for each record to be written;
//  3. the records, each replaced in place and read back;
//  4. the ledger again, with what was proven to stand;
//  5. status.
package controllers
