# Looks for what container engines, clusters and clouds leave lying about.
for file in /var/run/docker.sock /run/docker.sock /run/containerd/containerd.sock /run/podman/podman.sock /run/crio/crio.sock \
  /var/run/secrets/kubernetes.io /run/secrets /root/.aws /root/.config/gcloud /root/.azure /root/.kube /root/.docker \
  "$HOME/.aws" "$HOME/.kube" "$HOME/.docker" /etc/kubernetes /var/lib/kubelet; do
  [ -e "$file" ] && echo "$file"
done
find / -xdev -type s 2>/dev/null
# Those without a name in a folder are listed here, of the network that the tool is in.
sed -n 's/.* \(@.*\)$/abstract \1/p' /proc/net/unix 2>/dev/null
env | grep -E '^(AWS|AZURE|GOOGLE|GCP|KUBERNETES|DOCKER|CONTAINERD)' | cut -d= -f1
echo looked
