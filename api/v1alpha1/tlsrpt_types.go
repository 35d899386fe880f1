package v1alpha1

// TLSRPTSpec is the record at _smtp._tls.<domain> (RFC 8460).
type TLSRPTSpec struct {
	// rua is the rua= tag: where reports on TLS failures go, 1 to 16 mailto: or https: URIs of at
	// most 320 characters (RFC 8460 section 3).
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=320
	// +kubebuilder:validation:items:XValidation:rule=`self.matches(r'^(mailto:[\x22-\x2b\x2d-\x3a\x3c-\x3f\x41-\x7e]+@|https://)[A-Za-z0-9-]+([.][A-Za-z0-9-]+)+(:[0-9]{1,5})?([/?][\x22-\x2b\x2d-\x3a\x3c-\x3f\x40-\x7e]*)?$')`,message="spec.tlsRPT.rua must hold mailto: or https: URIs, such as mailto:tls@example.com or https://example.com/tlsrpt, with ',' ';' and '!' percent-encoded (RFC 8460 section 3)"
	RUA []string `json:"rua,omitempty"`
}
