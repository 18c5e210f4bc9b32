"""A cluster without Kubernetes: the rendered chart as a file that `compose_bench.py` can run.

Obeyed: commands, environment, users and fsGroup (as a further group), mounts with their items, modes and sub-paths,
read-only roots, host names, probes of starting servers, names of Services. Not obeyed: schedulers, resources, sysctls,
restarts (the Job that deploys begins when the server is ready, all else when that has ended), claims (folders here).
"""

import shutil
from pathlib import Path
from typing import Any

import yaml

from tests.synthetic.chart import pods, selected

ASK = "import urllib.request as u; u.urlopen(u.Request('http://{host}:{port}{path}', headers={headers!r}), timeout=5)"
CLAIMS = {"apertura-incoming": "/data/incoming", "apertura-runs": "/data/runs", "apertura-ledger": "ledger"}
"""What lies behind the claims: folders of the machine, and a volume of the name."""
GROUP = 1000
ENDED = {"condition": "service_completed_successfully"}


class Cluster:
    """The objects of a chart, and the folder in which their files are laid out for Compose."""

    def __init__(self, objects: list[dict[str, Any]], folder: Path) -> None:
        self.objects, self.folder = objects, folder
        self.services: dict[str, dict[str, Any]] = {}
        names = {selected(one, objects)[0]: one["metadata"]["name"] for one in objects if one["kind"] == "Service"}
        for part, pod in pods(objects).items():
            before = {one["name"]: one for one in pod["spec"].get("initContainers", [])}
            for name, container in before.items():
                self.services[name] = self.service(name, container, pod["spec"])
            for container in pod["spec"]["containers"]:
                name = names.get(part, part) if container["name"] == part else container["name"]
                self.services[name] = self.service(name, container, pod["spec"])
                self.services[name]["depends_on"] = dict.fromkeys(before, ENDED)
                if container["name"] != part:  # of one pod, and so of one network
                    self.services[name]["network_mode"] = f"service:{names.get(part, part)}"
        self.services["deploy"]["depends_on"] = {names["server"]: {"condition": "service_healthy"}}
        for name, service in self.services.items():
            if name not in {names["server"], "deploy"}:
                service["depends_on"] = service.get("depends_on", {}) | {"deploy": ENDED}
            if "network_mode" in service:
                service["depends_on"][service["network_mode"].partition(":")[2]] = {"condition": "service_started"}

    def write(self, compose: dict[str, Any]) -> None:
        """Write compose.yaml, with the database and Redis of one that is there."""
        others = {name: compose["services"][name] for name in ("postgres", "redis")}
        (server,) = [name for name, one in self.services.items() if "healthcheck" in one]
        self.services[server]["depends_on"] = {"postgres": {"condition": "service_healthy"}}
        content = {
            "services": {**others, **self.services},
            "secrets": compose["secrets"],
            "volumes": compose["volumes"],
        }
        (self.folder / "compose.yaml").write_text(yaml.safe_dump(content, sort_keys=False))

    def service(self, name: str, container: dict[str, Any], pod: dict[str, Any]) -> dict[str, Any]:
        """Return one container as a service of Compose."""
        lock = container["securityContext"]
        entrypoint = [word for word in container.get("command", []) if word not in {"tini", "--"}]
        made = {
            "image": container["image"],
            "init": "tini" in container.get("command", []),
            "read_only": lock["readOnlyRootFilesystem"],
            "cap_drop": lock["capabilities"]["drop"],
            "group_add": [str(pod["securityContext"]["fsGroup"])],
            "environment": {one["name"]: one["value"] for one in container.get("env", [])},
            "hostname": pod.get("hostname", name),
            **({"entrypoint": entrypoint} if entrypoint else {}),
            **({"command": container["args"]} if "args" in container else {}),
        }
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        made["volumes"], made["tmpfs"] = [], []
        for mount in container["volumeMounts"]:
            volume, place = volumes[mount["name"]], mount["mountPath"]
            if "emptyDir" in volume:
                made["tmpfs"].append(f"{place}:gid={GROUP},mode=2775")  # as the kubelet makes it for an fsGroup
                continue
            source = self.source(volume, pod["securityContext"]["fsGroup"])
            source += f"/{mount['subPath']}" if "subPath" in mount else ""
            made["volumes"].append(f"{source}:{place}" + (":ro" if mount.get("readOnly") else ""))
        if "httpGet" in (probe := container.get("startupProbe", {})):
            asked, port = probe["httpGet"], container["ports"][0]["containerPort"]
            headers = {one["name"]: one["value"] for one in asked["httpHeaders"]}
            text = ASK.format(host=name, port=port, path=asked["path"], headers=headers)
            made["healthcheck"] = {"test": ["CMD", "python", "-c", text]}
        return made

    def source(self, volume: dict[str, Any], group: int) -> str:
        """Return where the content of a volume lies, laid out as the kubelet would."""
        if "persistentVolumeClaim" in volume:
            return CLAIMS[volume["persistentVolumeClaim"]["claimName"]]
        place = self.folder / "volumes" / f"{len(list(self.folder.glob('volumes/*'))):02d}-{volume['name']}"
        place.mkdir(parents=True)
        sources = volume["projected"]["sources"] if "projected" in volume else [volume]
        for source in sources:
            kind = "configMap" if "configMap" in source else "secret"
            stated = source[kind]
            content = self.content(kind, stated.get("name") or stated["secretName"])
            items = stated.get("items") or [{"key": key, "path": key} for key in content]
            for item in items:
                path = place / item["path"]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content[item["key"]])
                path.chmod(volume.get("projected", volume.get("secret", {})).get("defaultMode", 0o644))
                shutil.chown(path, 0, group)
        return f"./{place.relative_to(self.folder)}"

    def content(self, kind: str, name: str) -> dict[str, bytes]:
        """Return a ConfigMap of the chart, or a Secret: a folder of files."""
        if kind == "configMap":
            (found,) = [one for one in self.objects if one["kind"] == "ConfigMap" and one["metadata"]["name"] == name]
            return {key: text.encode() for key, text in found["data"].items()}
        return {path.name: path.read_bytes() for path in (self.folder / "secret" / name).iterdir()}
