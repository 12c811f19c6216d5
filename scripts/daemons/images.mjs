import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";

/** Built from what Debian's packages put on this machine, so that no registry is needed. Another edition is built and loaded anew. */
const recipes = [
  { name: "busybox", edition: 1, fill: fillBusybox },
  { name: "lang", edition: 2, fill: fillLanguages },
];

export function referenceOf(name) {
  return `docker.io/toolruntime/${name}:test`;
}

/** Builds the images that are not there, and loads them where they are missing. Gives their references and digests. */
export async function loadImages(paths) {
  mkdirSync(paths.images, { recursive: true });
  const images = {};
  for (const recipe of recipes) {
    const archive = join(paths.images, `${recipe.name}.tar`);
    const facts = `${archive}.json`;
    if (!isBuilt(recipe, facts)) {
      console.log(`Building the image ${recipe.name}`);
      writeFileSync(facts, JSON.stringify({ edition: recipe.edition, ...buildImage(recipe, archive, paths) }));
    }
    const { edition: _, ...image } = JSON.parse(readFileSync(facts, "utf8"));
    images[recipe.name] = image;
    load(image, archive, paths);
  }
  writeLayout(
    recipes.map(({ name }) => join(paths.images, `${name}.tar`)),
    paths.layout,
  );
  return images;
}

/** All images in one OCI image layout, for whoever needs no daemon. */
function writeLayout(archives, folder) {
  mkdirSync(folder, { recursive: true });
  const manifests = archives.flatMap((archive) => {
    const text = execFileSync("tar", ["-xOf", archive, "./index.json"], { encoding: "utf8" });
    execFileSync("tar", ["--skip-old-files", "-xf", archive, "-C", folder, "./blobs", "./oci-layout"], { stdio: "inherit" });
    return JSON.parse(text).manifests;
  });
  writeFileSync(join(folder, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }));
}

function isBuilt({ edition }, facts) {
  return existsSync(facts) && JSON.parse(readFileSync(facts, "utf8")).edition === edition;
}

function succeeds(program, args) {
  try {
    execFileSync(program, args, { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** A name that stands for what an earlier edition was is given to this one. */
function load({ reference, manifest, config }, archive, { at, sockets }) {
  const quiet = { stdio: ["ignore", "ignore", "inherit"] };
  const docker = ["-H", `unix://${sockets.docker}`];
  if (!succeeds("docker", [...docker, "image", "inspect", config])) execFileSync("docker", [...docker, "load", "-q", "-i", archive], quiet);
  const ctr = ["-a", sockets.containerd, "-n", "toolruntime", "images"];
  const known = execFileSync("ctr", [...ctr, "ls", `name==${reference}`], { encoding: "utf8" });
  if (!known.includes(manifest)) execFileSync("ctr", [...ctr, "import", archive], quiet);
  const podman = ["--root", at("podman"), "--runroot", at("podman-run")];
  if (!succeeds("podman", [...podman, "image", "exists", config.slice("sha256:".length)]))
    execFileSync("podman", [...podman, "load", "-q", "-i", archive], quiet);
}

function sha256(bytes) {
  return createHash("sha256").update(bytes).digest("hex");
}

/** One archive that all three take: an OCI layout with docker's own list beside it, and a layer that is not compressed. */
function buildImage({ name, fill }, archive, paths) {
  const work = join(paths.images, `${name}.work`);
  rmSync(work, { recursive: true, force: true });
  const root = join(work, "rootfs");
  for (const folder of ["bin", "dev", "etc", "proc", "root", "sys", "tmp", "usr/bin", "work"])
    mkdirSync(join(root, folder), { recursive: true });
  chmodSync(join(root, "tmp"), 0o1777);
  writeFileSync(join(root, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n");
  writeFileSync(join(root, "etc/group"), "root:x:0:\nnogroup:x:65534:\n");
  fill(root);
  const layout = join(work, "layout");
  const blobs = join(layout, "blobs/sha256");
  mkdirSync(blobs, { recursive: true });
  const layer = join(work, "layer.tar");
  pack(layer, root);
  const layerBytes = readFileSync(layer);
  const add = (bytes) => {
    writeFileSync(join(blobs, sha256(bytes)), bytes);
    return { digest: `sha256:${sha256(bytes)}`, size: bytes.length };
  };
  const json = (value) => Buffer.from(JSON.stringify(value));
  const added = add(layerBytes);
  const config = add(
    json({
      created: "1970-01-01T00:00:00Z",
      architecture: process.arch === "x64" ? "amd64" : process.arch,
      os: "linux",
      config: { Env: ["PATH=/usr/bin:/bin"], Cmd: ["/bin/sh"], WorkingDir: "/" },
      rootfs: { type: "layers", diff_ids: [added.digest] },
      history: [{ created: "1970-01-01T00:00:00Z", created_by: "scripts/backends" }],
    }),
  );
  const manifestType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = add(
    json({
      schemaVersion: 2,
      mediaType: manifestType,
      config: { mediaType: "application/vnd.oci.image.config.v1+json", ...config },
      layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar", ...added }],
    }),
  );
  const reference = referenceOf(name);
  const annotations = { "io.containerd.image.name": reference, "org.opencontainers.image.ref.name": "test" };
  writeFileSync(join(layout, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(join(layout, "index.json"), json({ schemaVersion: 2, manifests: [{ mediaType: manifestType, ...manifest, annotations }] }));
  const blob = ({ digest }) => `blobs/sha256/${digest.slice("sha256:".length)}`;
  writeFileSync(join(layout, "manifest.json"), json([{ Config: blob(config), RepoTags: [reference], Layers: [blob(added)] }]));
  pack(archive, layout);
  rmSync(work, { recursive: true, force: true });
  return { reference, manifest: manifest.digest, config: config.digest };
}

/** The same files give the same bytes. */
function pack(archive, folder) {
  const same = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "--format=ustar"];
  execFileSync("tar", [...same, "-cf", archive, "-C", folder, "."], { stdio: ["ignore", "ignore", "inherit"] });
}

function fillBusybox(root) {
  cpSync("/bin/busybox", join(root, "bin/busybox"));
  for (const applet of execFileSync("/bin/busybox", ["--list"], { encoding: "utf8" }).trim().split("\n")) {
    // Linked onto itself it would be no program.
    if (applet !== "busybox" && !existsSync(join(root, "bin", applet))) symlinkSync("busybox", join(root, "bin", applet));
  }
}

/** Busybox with this Node and Debian's Python. */
function fillLanguages(root) {
  fillBusybox(root);
  const add = (path, to = path) => {
    const target = join(root, to);
    if (existsSync(target)) return;
    mkdirSync(dirname(target), { recursive: true });
    cpSync(realpathSync(path), target, { recursive: true, dereference: true });
  };
  const python = realpathSync("/usr/bin/python3");
  const library = `/usr/lib/${basename(python)}`;
  const skipped = new Set(["test", "idlelib", "tkinter", "ensurepip", "lib2to3", "__pycache__", "turtledemo"]);
  mkdirSync(join(root, library), { recursive: true });
  cpSync(library, join(root, library), { recursive: true, dereference: true, filter: (from) => !skipped.has(basename(from)) });
  add(process.execPath, "/usr/bin/node");
  add(python, "/usr/bin/python3");
  // For whoever wants to be another user: a container must not let it be.
  add(python, "/usr/bin/python3-setuid");
  chmodSync(join(root, "usr/bin/python3-setuid"), 0o4755);
  const extensions = execFileSync("find", [join(library, "lib-dynload"), "-name", "*.so"], { encoding: "utf8" })
    .trim()
    .split("\n");
  for (const file of [process.execPath, python, ...extensions.filter((one) => one !== "")]) {
    for (const needed of librariesOf(file)) add(needed);
  }
  if (statSync(join(root, "usr/bin/node")).size === 0) throw new Error("Cannot copy Node into an image: it is empty");
}

function librariesOf(file) {
  const text = execFileSync("ldd", [file], { encoding: "utf8" });
  return [...text.matchAll(/(?:=> )?(\/[^ ]+) \(0x/g)].map(([, path]) => path);
}
