// Package crd holds the CustomResourceDefinitions as they are installed, for those who judge a manifest
// without an API server.
package crd

import "embed"

// Bases are the files of the directory bases, one for each kind.
//
//go:embed bases/*.yaml
var Bases embed.FS
