//! Makes what targets begin with out of files of the repository, in the folder that the variable
//! `SEEDS` names: `resources` is what pilots send, `configuration` whole files, `rules` what users
//! write. In form it is a target, without which there would be nothing to count its coverage.
#![no_main]

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use mesh_proto::envoy::config::cluster::v3::Cluster;
use mesh_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use mesh_proto::envoy::config::listener::v3::Listener;
use mesh_proto::envoy::config::route::v3::RouteConfiguration;
use mesh_proto::text;
use prost::{Message, Name};
use serde_json::Value;

/// Where resources stand in a file, and the byte by which the target tells them.
const CLUSTER: u8 = 0;
const LISTENER: u8 = 1;
const ROUTES: u8 = 2;
const ENDPOINTS: u8 = 3;

libfuzzer_sys::fuzz_target!(
    init: if let Err(error) = make() { panic!("{error:#}") },
    |_bytes: &[u8]| {}
);

fn make() -> Result<()> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let folder = PathBuf::from(std::env::var_os("SEEDS").context("no variable SEEDS")?);
    let configurations =
        [root.join("samples/static/front-proxy.yaml"), root.join("mesh-proxy/src/fuzz/proxy.yaml")];
    let golden = files(&root.join("mesh-pilot/tests/golden"))?;
    let is_expected = |path: &&PathBuf| path.ends_with("expected.yaml");
    let resources = Seeds::new(&folder, "resources")?;
    for path in golden.iter().filter(is_expected).chain(&configurations) {
        resources_of(&resources, &read(path)?)?;
    }
    let whole = Seeds::new(&folder, "configuration")?;
    let broken = files(&root.join("mesh-proxy/tests/broken"))?;
    let broken = broken.iter().filter(|path| path.extension().is_none_or(|e| e != "expected"));
    for path in configurations.iter().chain(broken) {
        whole.add(&fs::read(path)?)?;
    }
    let rules = Seeds::new(&folder, "rules")?;
    let samples = files(&root.join("samples/bookinfo/rules"))?;
    for path in golden.iter().filter(|path| !is_expected(path)).chain(&samples) {
        rules.add(&fs::read(path)?)?;
    }
    Ok(())
}

/// A folder of numbered files.
struct Seeds {
    folder: PathBuf,
    count: std::cell::Cell<usize>,
}

impl Seeds {
    fn new(folder: &Path, target: &str) -> Result<Self> {
        let folder = folder.join(target);
        fs::create_dir_all(&folder)?;
        Ok(Self { folder, count: std::cell::Cell::new(0) })
    }

    fn add(&self, bytes: &[u8]) -> Result<()> {
        self.count.set(self.count.get() + 1);
        Ok(fs::write(self.folder.join(self.count.get().to_string()), bytes)?)
    }
}

fn resources_of(seeds: &Seeds, file: &Value) -> Result<()> {
    let resources = file.get("static_resources").unwrap_or(file);
    let of = |field: &str| resources.get(field).and_then(Value::as_array).into_iter().flatten();
    of("clusters").try_for_each(|one| add::<Cluster>(seeds, CLUSTER, one))?;
    of("listeners").try_for_each(|one| add::<Listener>(seeds, LISTENER, one))?;
    of("routes").try_for_each(|one| add::<RouteConfiguration>(seeds, ROUTES, one))?;
    of("endpoints").try_for_each(|one| add::<ClusterLoadAssignment>(seeds, ENDPOINTS, one))
}

fn add<M: Message + Name + Default>(seeds: &Seeds, kind: u8, value: &Value) -> Result<()> {
    let message: M = text::from_json(value)?;
    seeds.add(&[&[kind], &message.encode_to_vec()[..]].concat())
}

fn read(path: &Path) -> Result<Value> {
    mesh_yaml::read(&fs::read_to_string(path)?).with_context(|| path.display().to_string())
}

/// All files below a folder, in order.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        match path.is_dir() {
            true => found.extend(files(&path)?),
            false => found.push(path),
        }
    }
    found.sort();
    Ok(found)
}
