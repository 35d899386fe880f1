package node

import "fmt"

// kubeletConfig: %[1]s is the directory of this run. The node's cgroup is left alone, no image is thrown away and no Pod evicted, however full
// the machine is.
const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: ` + nodeAddress + `
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}}
authorization: {mode: Webhook}
containerRuntimeEndpoint: unix://` + socket + `
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: /` + cgroup + `
enforceNodeAllocatable: []
failSwapOn: false
makeIPTablesUtilChains: false
clusterDNS: [` + nodeAddress + `]
clusterDomain: cluster.local
podLogsDir: %[1]s/pods
volumePluginDir: %[1]s/plugins
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 1Mi, nodefs.available: 0%%, nodefs.inodesFree: 0%%, imagefs.available: 0%%, imagefs.inodesFree: 0%%}
`

// startKubelet starts the kubelet, and waits until Pods can run.
func (n *Node) startKubelet() error {
	if err := makeCgroups(); err != nil {
		return err
	}
	config, err := n.write("kubelet.yaml", fmt.Sprintf(kubeletConfig, n.dir))
	if err != nil {
		return err
	}
	kubelet, err := n.run("kubelet", "--config", config, "--kubeconfig", n.kubeconfig("system:node:"+nodeName),
		"--hostname-override", nodeName, "--node-ip", nodeAddress, "--root-dir", n.path("kubelet"), "--cert-dir", n.path("certs-kubelet"))
	if err != nil {
		return err
	}
	return kubelet.becomes("ready", n.nodeReady)
}

// proxyConfig leaves the machine's table of connections as large as it is.
const proxyConfig = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
hostnameOverride: ` + nodeName + `
clusterCIDR: ` + podNetwork + `
clientConnection: {kubeconfig: %s}
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
`

// startProxy starts what leads to the Pods of a Service.
func (n *Node) startProxy() error {
	config, err := n.write("proxy.yaml", fmt.Sprintf(proxyConfig, n.kubeconfig("system:kube-proxy")))
	if err != nil {
		return err
	}
	proxy, err := n.run("kube-proxy", "--config", config)
	if err != nil {
		return err
	}
	return proxy.becomes("ready", ready("http://127.0.0.1:10256/healthz"))
}
