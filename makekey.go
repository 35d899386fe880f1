//go:build !scale

package main

import "github.com/maildomain/maildomain-operator/keys"

// makeKey makes DKIM keys for the pool.
var makeKey = keys.Generate
