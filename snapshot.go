package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/maildomain/maildomain-operator/controllers"
)

// What the writer beside a policy server reads: what is to be served, and the certificates, which are in Secrets that
// users name, in namespaces of theirs.
// +kubebuilder:rbac:namespace=maildomain-system,roleName=maildomain-mta-sts,groups="",resources=configmaps,verbs=list;watch
// +kubebuilder:rbac:roleName=maildomain-certificates,groups="",resources=secrets,verbs=get;list;watch

// snapshot is the writer beside each policy server: it reads the cluster, and writes to its directory only.
func snapshot(ctx context.Context, args []string, stderr io.Writer) error {
	var f clusterFlags
	set := flag.NewFlagSet("maildomain snapshot", flag.ContinueOnError)
	set.SetOutput(stderr)
	f.register(set)
	switch err := set.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	case set.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", set.Arg(0))
	case f.namespace == "":
		return errNoNamespace
	case f.snapshotDir == "":
		return errors.New("--snapshot-dir is empty: name the directory that mta-sts serves from")
	}
	metricsServer, err := f.options()
	if err != nil {
		return err
	}
	watched, err := f.watched()
	if err != nil {
		return err
	}
	f.forKubernetes(stderr)
	cluster, err := f.cluster()
	if err != nil {
		return err
	}
	mapper, err := reach(ctx, cluster)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	mgr, err := ctrl.NewManager(cluster, ctrl.Options{
		Scheme:         clientgoscheme.Scheme,
		MapperProvider: mapper,
		Logger:         log.Log,
		Metrics:        metricsServer,
		Controller:     patient,

		HealthProbeBindAddress: f.health,
		Cache: cache.Options{DefaultNamespaces: f.cached(watched), ByObject: map[client.Object]cache.ByObject{
			&corev1.ConfigMap{}: {Namespaces: map[string]cache.Config{f.namespace: {}}, Transform: controllers.CachedConfigMap},
			&corev1.Secret{}:    {Transform: controllers.CachedSecret},
		}},
	})
	if err != nil {
		return err
	}
	writer := &controllers.SnapshotWriter{Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Clock: clock.RealClock{}, Namespace: f.namespace, Dir: filepath.Clean(f.snapshotDir), Plain: f.plain}
	if err := errors.Join(addChecks(mgr), mgr.AddReadyzCheck("snapshot", writer.Ready)); err != nil {
		return err
	}
	if err := writer.SetupWithManager(mgr, controller.Options{}); err != nil {
		return err
	}
	return mgr.Start(ctx)
}
