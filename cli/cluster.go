package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

// completionTime bounds what a shell waits for when somebody presses Tab.
const completionTime = 2 * time.Second

// cluster is the one that kubectl would talk to.
type cluster struct {
	kubeconfig, context string
	namespace           string // of -n, and after open that of the kubeconfig's context

	client.Client
}

func (c *cluster) flags(cmd *cobra.Command) {
	set := cmd.Flags()
	set.StringVar(&c.kubeconfig, "kubeconfig", "", "`file` with clusters and credentials; without: $KUBECONFIG, ~/.kube/config, or the service account of a Pod")
	set.StringVar(&c.context, "context", "", "`name` of a context in it; without: the current one")
	set.StringVarP(&c.namespace, "namespace", "n", "", "`namespace` of the MailDomain; without: that of the context")
	complete(cmd, "context", nil)
	complete(cmd, "namespace", nil)
}

// open makes the client, once flags are read. Nobody is asked yet.
func (c *cluster) open() error {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = c.kubeconfig
	config := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: c.context})
	if c.namespace == "" {
		namespace, _, err := config.Namespace()
		if err != nil {
			return fmt.Errorf("reading the kubeconfig: %w", err)
		}
		c.namespace = namespace
	}
	access, err := config.ClientConfig()
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return err
	}
	c.Client, err = client.New(access, client.Options{Scheme: scheme})
	if err != nil {
		return fmt.Errorf("reaching the cluster: %w", err)
	}
	return nil
}

// noSuch is the error of a MailDomain that is not there.
type noSuch struct{ namespace, name string }

// Error implements error.
func (n noSuch) Error() string {
	return fmt.Sprintf("there is no MailDomain %s in namespace %s: name another one, or its namespace with -n", n.name, n.namespace)
}

// get reads a MailDomain.
func (c *cluster) get(ctx context.Context, name string) (*v1alpha1.MailDomain, error) {
	md := &v1alpha1.MailDomain{}
	err := c.Get(ctx, types.NamespacedName{Namespace: c.namespace, Name: name}, md)
	if apierrors.IsNotFound(err) {
		return nil, noSuch{c.namespace, name}
	}
	if err != nil {
		return nil, fmt.Errorf("reading MailDomain %s/%s: %w", c.namespace, name, err)
	}
	return md, nil
}

// names completes the names of MailDomains. A cluster that gives no answer soon has none.
func (c *cluster) names(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
	defer cancel()
	var list v1alpha1.MailDomainList
	if err := c.open(); err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	if err := c.List(ctx, &list, client.InNamespace(c.namespace)); err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, md := range list.Items {
		names = append(names, md.Name+"\t"+md.Spec.Domain)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
