#!/bin/sh
# Make sure the base image of the lab exists on this engine: present, else pulled, else bootstrapped from a Debian mirror.
# usage: base-image.sh IMAGE SUITE PULL_TIMEOUT_S [MIRROR]
# The last line on standard output is "present", "pulled" or "bootstrapped"; on failure standard error ends with one sentence.
# shellcheck disable=SC2016 # the hooks are expanded by mmdebstrap's shell, not by this one
set -eu

image=$1 suite=$2 pull_timeout=$3 mirror=${4:-}

if docker image inspect "$image" >/dev/null 2>&1; then
  echo present
  exit 0
fi

if timeout "$pull_timeout" docker pull --quiet "$image" >/dev/null 2>&1; then
  echo pulled
  exit 0
fi

if ! command -v mmdebstrap >/dev/null 2>&1; then
  echo "The image $image can neither be pulled nor bootstrapped: allow this machine to pull it, or install mmdebstrap (apt-get install mmdebstrap debian-archive-keyring)." >&2
  exit 1
fi

rootfs=$(mktemp)
trap 'rm -f "$rootfs"' EXIT

# Trimmed like the official slim image. The docker-clean file matters most: without it every layer keeps 85 MB of apt caches.
if ! mmdebstrap --quiet --variant=minbase --format=tar \
  --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-include=/usr/share/doc/*/copyright' \
  --customize-hook='printf "#!/bin/sh\nexit 101\n" > "$1/usr/sbin/policy-rc.d"; chmod +x "$1/usr/sbin/policy-rc.d"' \
  --customize-hook='printf "%s\n" "DPkg::Post-Invoke { \"rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true\"; };" "Dir::Cache::pkgcache \"\"; Dir::Cache::srcpkgcache \"\";" "Acquire::Languages \"none\";" > "$1/etc/apt/apt.conf.d/docker-clean"' \
  --customize-hook='echo force-unsafe-io > "$1/etc/dpkg/dpkg.cfg.d/docker-apt-speedup"' \
  --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin' \
  "$suite" "$rootfs" ${mirror:+"$mirror"}; then
  echo "The image $image cannot be pulled, and mmdebstrap could not bootstrap Debian $suite either: check that a Debian mirror can be reached." >&2
  exit 1
fi

docker import --change 'CMD ["bash"]' --message "mmdebstrap $suite" "$rootfs" "$image" >/dev/null
echo bootstrapped
