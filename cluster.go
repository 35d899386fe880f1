package main

import (
	"context"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// patient has a process whose caches don't fill wait for the API server: one that ends would only come
// back to wait, each time later (Law 12).
var patient = config.Controller{CacheSyncTimeout: 10 * 365 * 24 * time.Hour}

// reach waits until the API server answers, for as long as ctx: making a manager asks it, and fails
// when it is away. It returns what the API server said about its kinds, for ctrl.Options.
func reach(ctx context.Context, cluster *rest.Config) (func(*rest.Config, *http.Client) (meta.RESTMapper, error), error) {
	client, err := rest.HTTPClientFor(cluster)
	if err != nil {
		return nil, err
	}
	mapper, err := apiutil.NewDynamicRESTMapper(cluster, client)
	if err != nil {
		return nil, err
	}
	said := ""
	err = wait.PollUntilContextCancel(ctx, time.Second, true, func(context.Context) (bool, error) {
		_, err := mapper.RESTMapping(corev1.SchemeGroupVersion.WithKind("ConfigMap").GroupKind(), "v1")
		if err != nil && err.Error() != said {
			said = err.Error()
			log.Log.Error(err, "waiting for the API server")
		}
		return err == nil, nil
	})
	return func(*rest.Config, *http.Client) (meta.RESTMapper, error) { return mapper, nil }, err
}
