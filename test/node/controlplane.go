package node

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"strings"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

const apiServer = "https://" + nodeAddress + ":6443"

// users are who the API server knows, each by a token: their rights are those of any cluster.
var users = []struct{ name, groups string }{
	{"admin", "system:masters"},
	{"system:kube-controller-manager", ""},
	{"system:kube-scheduler", ""},
	{"system:kube-proxy", ""},
	{"system:node:" + nodeName, "system:nodes"},
}

// startControlPlane starts etcd, the API server, and what makes Pods of Deployments and gives them a node.
func (n *Node) startControlPlane() error {
	tokens, err := n.writeTokens()
	if err != nil {
		return err
	}
	key, err := n.writeAccountKey()
	if err != nil {
		return err
	}
	etcd, err := n.run("etcd", "--data-dir", n.path("etcd"), "--unsafe-no-fsync",
		"--listen-client-urls", "http://127.0.0.1:2379", "--advertise-client-urls", "http://127.0.0.1:2379",
		"--listen-peer-urls", "http://127.0.0.1:2380")
	if err != nil {
		return err
	}
	if err := etcd.becomes("ready", ready("http://127.0.0.1:2379/readyz")); err != nil {
		return err
	}
	api, err := n.run("kube-apiserver", "--etcd-servers", "http://127.0.0.1:2379", "--cert-dir", n.path("certs"),
		"--advertise-address", nodeAddress, "--secure-port", "6443", "--service-cluster-ip-range", services,
		"--authorization-mode", "Node,RBAC", "--enable-admission-plugins", "NodeRestriction", "--token-auth-file", tokens,
		"--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file", key, "--service-account-signing-key-file", key)
	if err != nil {
		return err
	}
	if err := api.becomes("ready", ready(apiServer+"/readyz")); err != nil {
		return err
	}
	if err := n.writeKubeconfigs(); err != nil {
		return err
	}
	if err := n.connect(); err != nil {
		return err
	}
	_, err = n.run("kube-controller-manager", "--kubeconfig", n.kubeconfig("system:kube-controller-manager"), "--leader-elect=false", "--bind-address", "127.0.0.1",
		"--use-service-account-credentials", "--service-account-private-key-file", key, "--root-ca-file", n.authority(), "--cert-dir", n.path("certs-controllers"))
	if err != nil {
		return err
	}
	_, err = n.run("kube-scheduler", "--kubeconfig", n.kubeconfig("system:kube-scheduler"), "--leader-elect=false", "--bind-address", "127.0.0.1")
	return err
}

// authority is the file with which the API server's certificate is verified, which it makes itself.
func (n *Node) authority() string { return n.path("certs", "apiserver.crt") }

func token(user string) string { return "token-of-" + strings.ReplaceAll(user, ":", "-") }

func (n *Node) writeTokens() (string, error) {
	var file strings.Builder
	for _, u := range users {
		fmt.Fprintf(&file, "%s,%s,%s,%q\n", token(u.name), u.name, u.name, u.groups)
	}
	return n.write("tokens", file.String())
}

// writeAccountKey makes the key that tokens of service accounts are signed with.
func (n *Node) writeAccountKey() (string, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return "", err
	}
	return n.write("accounts.key", string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})))
}

func (n *Node) kubeconfig(user string) string {
	return n.path("kubeconfig-" + strings.ReplaceAll(user, ":", "-"))
}

func (n *Node) writeKubeconfigs() error {
	authority, err := os.ReadFile(n.authority())
	if err != nil {
		return err
	}
	for _, u := range users {
		config := clientcmdapi.NewConfig()
		config.Clusters["node"] = &clientcmdapi.Cluster{Server: apiServer, CertificateAuthorityData: authority}
		config.AuthInfos["user"] = &clientcmdapi.AuthInfo{Token: token(u.name)}
		config.Contexts["node"] = &clientcmdapi.Context{Cluster: "node", AuthInfo: "user"}
		config.CurrentContext = "node"
		if err := clientcmd.WriteToFile(*config, n.kubeconfig(u.name)); err != nil {
			return err
		}
	}
	n.Kubeconfig = n.kubeconfig("admin")
	return nil
}
