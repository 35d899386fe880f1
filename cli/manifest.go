package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"unicode/utf8"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/config/crd"
	"github.com/maildomain/maildomain-operator/mailauth/lint"
)

// manifestRules are what is judged of a manifest before its records are: docs/cli.md has them.
var manifestRules = lint.Table{
	lint.NewRule("MANIFEST-SYNTAX", lint.Error, "the document can't be read", "correct the YAML", "YAML 1.2"),
	lint.NewRule("MANIFEST-UNKNOWN-FIELD", lint.Error, "a field that the API does not have", "correct or remove it: kubectl refuses it, and what applies it otherwise drops it", "the CustomResourceDefinition"),
	lint.NewRule("MANIFEST-INVALID", lint.Error, "the API server would refuse the object", "correct the field", "the CustomResourceDefinition"),
}

// maxManifest bounds what is read of one file or of standard input.
const maxManifest = 16 << 20

// maxObjects bounds the objects in it: each is judged by all rules of its kind.
const maxObjects = 10_000

// manifest is one document of a file.
type manifest struct {
	object   unstructured.Unstructured
	err      error // why it can't be read
	document int   // in which of the file it stands, from 1
}

// readManifests reads the objects of a file, also those in lists; empty documents are left out.
func readManifests(r io.Reader) (list []manifest, err error) {
	content, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxManifest {
		return nil, fmt.Errorf("larger than %d MiB", maxManifest>>20)
	}
	if !utf8.Valid(content) {
		return nil, errors.New("not UTF-8")
	}
	content = append(content, '\n') // the reader loses a last line of a certain length that has no end
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content)))
	for documents := 0; ; {
		text, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		value, err := decode(text)
		switch {
		case err != nil:
			documents++
			list = append(list, manifest{err: err, document: documents})
		case value != nil:
			documents++
			list = append(list, objects(value, documents)...)
		}
		if len(list) > maxObjects {
			return nil, fmt.Errorf("more than %d objects: divide it", maxObjects)
		}
	}
}

// objects are the object of a document, or those in it where it is a list, as kubectl get -o yaml prints.
func objects(value any, document int) (list []manifest) {
	object, ok := value.(map[string]any)
	if !ok {
		return []manifest{{err: errors.New("a document is no object"), document: document}}
	}
	m := manifest{object: unstructured.Unstructured{Object: object}, document: document}
	if items, ok := object["items"].([]any); ok && strings.HasSuffix(m.object.GetKind(), "List") {
		for _, item := range items {
			list = append(list, objects(item, document)...)
		}
		return list
	}
	return []manifest{m}
}

// decode reads one document, with whole numbers as the API server has them.
func decode(text []byte) (value any, err error) {
	if !isOneDocument(string(text)) {
		return nil, errors.New("a second document, which would be dropped: begin it by a line ---, without anything else")
	}
	asJSON, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return nil, err
	}
	err = utiljson.Unmarshal(asJSON, &value)
	return value, err
}

// isOneDocument reports whether nothing stands behind the first document of a text: the decoder, as that
// of kubectl, does not look there.
func isOneDocument(text string) bool {
	begun, ended := false, false
	lines := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune("\n\r\u0085\u2028\u2029", r) })
	for _, line := range lines {
		word := strings.Fields(line + " #")[0]
		marker := strings.HasPrefix(line, word)
		switch {
		case word[0] == '#':
		case word == "..." && marker:
			ended = true
		case ended, word == "---" && marker && begun:
			return false
		default:
			begun = true
		}
	}
	return true
}

// kind judges objects of one kind as the API server does.
type kind struct {
	namespaced bool
	structural *schema.Structural
	schema     validation.SchemaValidator
	rules      *cel.Validator
}

// kinds are the kinds of the CustomResourceDefinitions.
var kinds = sync.OnceValues(func() (map[string]kind, error) {
	all := map[string]kind{}
	files, err := fs.Glob(crd.Bases, "bases/*.yaml")
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		content, err := crd.Bases.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var definition apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal(content, &definition); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		for _, version := range definition.Spec.Versions {
			if version.Name != v1alpha1.GroupVersion.Version {
				continue
			}
			var internal apiextensions.JSONSchemaProps
			if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(version.Schema.OpenAPIV3Schema, &internal, nil); err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			k := kind{namespaced: definition.Spec.Scope == apiextensionsv1.NamespaceScoped}
			if k.structural, err = schema.NewStructural(&internal); err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			if k.schema, _, err = validation.NewSchemaValidator(&internal); err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			k.rules = cel.NewValidator(k.structural, true, perCallLimit)
			all[definition.Spec.Names.Kind] = k
		}
	}
	return all, nil
})

// The limits of the API server on what rules may cost.
const (
	perCallLimit = 1000000
	costBudget   = 10000000
)

// judge says what the API server would refuse about an object.
func (k kind) judge(ctx context.Context, object map[string]any) (out []lint.Finding) {
	for _, path := range pruning.PruneWithOptions(object, k.structural, true, schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}) {
		out = append(out, manifestRules.Find("MANIFEST-UNKNOWN-FIELD", "%s", path))
	}
	found := k.metadata(object)
	found = append(found, validation.ValidateCustomResource(nil, object, k.schema)...)
	found = append(found, listtype.ValidateListSetsAndMaps(nil, k.structural, object)...)
	if len(found) == 0 { // as the API server has it: rules are for what has the right form
		errs, _ := k.rules.Validate(ctx, nil, k.structural, object, nil, costBudget)
		found = append(found, errs...)
	}
	for _, err := range found {
		out = append(out, manifestRules.Find("MANIFEST-INVALID", "%s", err))
	}
	return out
}

// metadata says what the API server would refuse about names, labels and annotations. A namespace is
// kubectl's to fill in where there is none.
func (k kind) metadata(object map[string]any) field.ErrorList {
	path := field.NewPath("metadata")
	var meta metav1.ObjectMeta
	if value, there := object["metadata"]; there {
		fields, ok := value.(map[string]any)
		if !ok {
			return nil // the schema says so
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(fields, &meta); err != nil {
			return field.ErrorList{field.Invalid(path, field.OmitValueType{}, err.Error())}
		}
	}
	switch {
	case !k.namespaced:
		meta.Namespace = ""
	case meta.Namespace == "":
		meta.Namespace = metav1.NamespaceDefault
	}
	return apivalidation.ValidateObjectMeta(&meta, k.namespaced, apivalidation.NameIsDNSSubdomain, path)
}
