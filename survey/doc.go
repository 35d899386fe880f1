// Package survey finds out what the world shows of a domain, from DNS, HTTPS and SMTP: the facts that
// baselines are judged by. The command line and the controllers share it. What can't be found out is an
// unknown fact, with the cause in stable words.
package survey
