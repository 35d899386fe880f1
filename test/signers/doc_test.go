package signers

import (
	"os"
	"strings"
	"testing"
)

// fromDoc returns a configuration as docs/rotation.md shows it, with the volume's path in the place of
// the one there. It is the block that begins with the title as a comment.
func fromDoc(t *testing.T, title, volume string) string {
	t.Helper()
	doc, err := os.ReadFile("../../docs/rotation.md")
	if err != nil {
		t.Fatal(err)
	}
	for i, block := range strings.Split(string(doc), "\n```") {
		_, text, _ := strings.Cut(block, "\n") // behind the block's language
		if i%2 == 1 && strings.HasPrefix(text, "# "+title+"\n") {
			return strings.ReplaceAll(text, "/etc/dkim", volume) + "\n"
		}
	}
	t.Fatalf("docs/rotation.md has no block %q", title)
	return ""
}
