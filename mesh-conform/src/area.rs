//! Runs the cases of one file on both proxies, one after the other, with the same file on
//! the same addresses.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::admin::{self, Stats};
use crate::case::{Area, Case};
use crate::client::Client;
use crate::config::{self, Plan};
use crate::diff::{self, Difference};
use crate::proxy::{Kind, Programs, Proxy};
use crate::tls::Certificates;
use crate::upstream::Upstreams;
use crate::{graphed, normal};

/// How long a proxy may take, once all is answered, until its statistics and log say so.
const SETTLE: Patience = Patience { time: Duration::from_secs(4), looks: 200 };

/// How much longer mesh-proxy has to tell what Envoy told.
const GRACE: Patience = Patience { time: Duration::from_millis(600), looks: 30 };

const REFUSES: &str = "refuses the configuration";

/// So long, and so often: on a machine that is busy a proxy gets to little between two looks, and
/// it is slow to answer them, too.
struct Patience {
    time: Duration,
    looks: u32,
}

impl Patience {
    fn is_over(&self, since: Instant, looks: u32) -> bool {
        looks > self.looks && since.elapsed() > self.time
    }
}

/// What came of one case.
pub(crate) struct Outcome {
    /// `AREA/NAME`.
    pub(crate) case: String,
    pub(crate) envoy: Value,
    pub(crate) mesh_proxy: Value,
    pub(crate) differences: Vec<Difference>,
    /// What a proxy said that refused the configuration, for the reader.
    pub(crate) refusals: Vec<(Kind, String)>,
}

/// One area on its way.
pub(crate) struct Run<'a> {
    pub(crate) name: &'a str,
    pub(crate) area: &'a Area,
    pub(crate) programs: &'a Programs,
    pub(crate) folder: &'a Path,
    certificates: Certificates,
    plan: Plan,
    upstreams: Upstreams,
}

/// What one proxy did in a case, or what it said when it refused its configuration.
type Side = Result<Value, String>;

impl<'a> Run<'a> {
    /// Starts the area's upstreams.
    ///
    /// # Errors
    /// When the area's configuration makes no sense, or an address cannot be listened on.
    pub(crate) async fn new(
        name: &'a str,
        area: &'a Area,
        ip: Ipv4Addr,
        programs: &'a Programs,
        folder: &'a Path,
        certificates: Certificates,
    ) -> Result<Self> {
        let plan = Plan::new(area, ip, certificates.folder())?;
        let upstreams = Upstreams::start(&plan.hosts, certificates.clone()).await?;
        Ok(Self { name, area, programs, folder, certificates, plan, upstreams })
    }

    /// Runs the cases of these numbers.
    ///
    /// # Errors
    /// When a proxy cannot be started, or dies; or Envoy refuses what a case does not say
    /// that it refuses.
    pub(crate) async fn cases(&self, indices: &[usize]) -> Result<Vec<Outcome>> {
        let asked: Vec<usize> =
            indices.iter().copied().filter(|index| !self.area.cases[*index].refused).collect();
        let envoy = self.side(Kind::Envoy, &asked, &[]).await?;
        for (index, side) in asked.iter().zip(&envoy) {
            if let Err(said) = side {
                bail!("{}: Envoy refuses its configuration:\n{said}", self.full_name(*index));
            }
        }
        let mesh_proxy = self.side(Kind::MeshProxy, &asked, &envoy).await?;
        let mut sides = envoy.into_iter().zip(mesh_proxy);
        let mut outcomes = Vec::new();
        for index in indices {
            let (envoy, mesh_proxy) = match self.area.cases[*index].refused {
                false => sides.next().context("an outcome of each case")?,
                true => {
                    (self.refused(Kind::Envoy, *index)?, self.refused(Kind::MeshProxy, *index)?)
                }
            };
            outcomes.push(self.outcome(*index, envoy, mesh_proxy));
        }
        Ok(outcomes)
    }

    fn outcome(&self, index: usize, envoy: Side, mesh_proxy: Side) -> Outcome {
        let mut refusals = Vec::new();
        let is_refused = self.area.cases[index].refused;
        let mut value = |kind, side: Side| match side {
            Ok(value) => value,
            Err(said) => {
                refusals.push((kind, said));
                json!(REFUSES)
            }
        };
        let envoy = value(Kind::Envoy, envoy);
        let mesh_proxy = value(Kind::MeshProxy, mesh_proxy);
        let mut differences = diff::diff(&envoy, &mesh_proxy);
        if is_refused && envoy != REFUSES {
            let (envoy, mesh_proxy) = (Some(envoy.clone()), Some(mesh_proxy.clone()));
            // The case says otherwise, even if both do.
            differences = vec![Difference { path: String::new(), envoy, mesh_proxy }];
        }
        for difference in &mut differences {
            if difference.path.is_empty() {
                difference.path = "configuration".to_owned();
            }
        }
        Outcome { case: self.full_name(index), envoy, mesh_proxy, differences, refusals }
    }

    fn full_name(&self, index: usize) -> String {
        format!("{}/{}", self.name, self.area.cases[index].name)
    }

    /// Whether a proxy refuses a case's configuration, with nothing else beside it.
    fn refused(&self, kind: Kind, index: usize) -> Result<Side> {
        let folder = self.folder_of(kind)?;
        let file = self.write(&format!("{}.json", config::slug(index)), &[index])?;
        Ok(kind.validate(self.programs, &folder, &file)?.map(|()| json!("takes the configuration")))
    }

    /// All cases on one proxy; `envoy` is what Envoy did, when this is not Envoy.
    async fn side(&self, kind: Kind, indices: &[usize], envoy: &[Side]) -> Result<Vec<Side>> {
        let folder = self.folder_of(kind)?;
        let file = self.write("all.json", indices)?;
        let admin = self.plan.admin();
        let mut refusals: Vec<Option<String>> = vec![None; indices.len()];
        let mut proxy = match Proxy::start(kind, self.programs, &folder, &file, admin).await {
            Ok(proxy) => proxy,
            Err(error) => {
                for (index, refusal) in indices.iter().zip(&mut refusals) {
                    *refusal = self.refused(kind, *index)?.err();
                }
                let taken = indices.iter().zip(&refusals).filter(|(_, refusal)| refusal.is_none());
                let taken: Vec<usize> = taken.map(|(index, _)| *index).collect();
                if taken.len() == indices.len() {
                    return Err(error);
                }
                let file = self.write(&format!("taken-by-{}.json", kind.name()), &taken)?;
                Proxy::start(kind, self.programs, &folder, &file, admin).await?
            }
        };
        let mut sides = Vec::new();
        for (at, (index, refusal)) in indices.iter().zip(refusals).enumerate() {
            sides.push(match refusal {
                Some(said) => Err(said),
                None => {
                    let reference = envoy.get(at).and_then(|side| side.as_ref().ok());
                    let asked = self.case(*index, &folder, reference).await;
                    proxy.is_alive().with_context(|| self.full_name(*index))?;
                    Ok(asked.with_context(|| self.full_name(*index))?)
                }
            });
        }
        Ok(sides)
    }

    fn folder_of(&self, kind: Kind) -> Result<PathBuf> {
        let folder = self.folder.join(kind.name());
        std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        Ok(folder)
    }

    fn write(&self, name: &str, indices: &[usize]) -> Result<PathBuf> {
        let file = self.folder.join(name);
        let bootstrap = self.plan.bootstrap(self.area, indices)?;
        std::fs::write(&file, format!("{bootstrap:#}"))
            .with_context(|| file.display().to_string())?;
        Ok(file)
    }

    /// Asks one proxy what the case asks, and waits until it has told all of it.
    async fn case(&self, index: usize, folder: &Path, reference: Option<&Value>) -> Result<Value> {
        let case = &self.area.cases[index];
        let before = admin::stats(self.plan.admin()).await?;
        self.upstreams.begin(&case.answers);
        let listener = self.plan.listener(index);
        let addresses = [listener, self.plan.admin()];
        let mut client =
            Client::new(addresses, &self.upstreams, &self.certificates, case.keep_alive);
        let told = client.ask(&case.requests).await?;
        let dialled = graphed::met(&before, listener) + client.dialled;
        // Its connection ends.
        drop(client);

        let mut done: Option<(Instant, u32)> = None;
        let start = Instant::now();
        let (mut looks, mut last) = (0, Value::Null);
        loop {
            let stats = admin::stats(self.plan.admin()).await?;
            let outcome = self.observed(index, case, folder, &told, &before, &stats);
            let is_met = graphed::met(&stats, listener) >= dialled;
            let is_done = graphed::is_quiet(&stats) && is_logged(case, &outcome);
            let outcome = normal::outcome(outcome, &self.plan, case.hosts, &case.undetermined);
            let is_settled = match reference {
                Some(reference) => *reference == outcome,
                // It may be about to count more.
                None => is_met && last == outcome,
            };
            if is_done && is_settled {
                return Ok(outcome);
            }
            if is_done && is_met {
                done.get_or_insert_with(|| (Instant::now(), looks));
            }
            let had_grace = done.is_some_and(|(at, then)| GRACE.is_over(at, looks - then));
            if had_grace || SETTLE.is_over(start, looks) {
                return Ok(outcome);
            }
            last = outcome;
            looks += 1;
            sleep(Duration::from_millis(10)).await;
        }
    }

    fn observed(
        &self,
        index: usize,
        case: &Case,
        folder: &Path,
        told: &[Value],
        before: &Stats,
        after: &Stats,
    ) -> Value {
        let mut outcome = json!({
            "requests": told,
            "upstream": self.upstreams.seen(),
            "log": log(&folder.join(config::log_file(index))),
            "stats": graphed::growth(before, after, &config::slug(index), &case.stats),
        });
        if case.requests.iter().any(|request| !request.meanwhile.is_empty()) {
            // Several end at a time.
            let lines = outcome["log"].as_array_mut();
            lines
                .into_iter()
                .for_each(|lines| lines.sort_by_key(|line| line["request"].to_string()));
        }
        if case.tcp.is_some() {
            // What a connection carries is in the requests.
            outcome["log"].as_array_mut().into_iter().flatten().for_each(|line| {
                line["request"].take();
            });
        }
        outcome
    }
}

/// The lines that are whole.
fn log(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    lines.map(|line| serde_json::from_str(line).unwrap_or_else(|_| json!(line))).collect()
}

/// Whether there is a line for each request that was counted, or as many as the case says.
fn is_logged(case: &Case, outcome: &Value) -> bool {
    let stats = &outcome["stats"];
    let all = ["http.downstream_rq_total", "tcp.downstream_cx_total"]
        .iter()
        .filter_map(|name| stats[name].as_u64())
        .sum::<u64>();
    let counted = case.log_lines.unwrap_or(all);
    outcome["log"].as_array().is_some_and(|lines| lines.len() as u64 >= counted)
}
