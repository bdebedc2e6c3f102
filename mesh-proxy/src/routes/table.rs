//! Route tables, compiled.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};

use super::domains::Domains;
use super::index::Index;
use super::matcher::Matcher;
use crate::config::{
    self, Action, AttemptHeaders, Destination, Forward, HeaderChanges, Name, Redirect, RequireTls,
    RouteTable, Target,
};
use crate::http_filter::{Overrides, RouteSettings};
use crate::random;

/// All route tables that are discovered, by name.
#[derive(Default)]
pub(crate) struct Tables {
    slots: Mutex<HashMap<Name, Weak<Slot>>>,
    // Kept apart from who uses them: a table may come before its listener.
    tables: Mutex<HashMap<Name, Arc<Table>>>,
}

/// Where the current table of one name is found, without a lock. Empty until it comes.
pub(crate) struct Slot(ArcSwapOption<Table>);

/// A route table, ready for look-ups.
pub(crate) struct Table {
    pub(crate) config: Arc<RouteTable>,
    domains: Domains,
    hosts: Box<[Host]>,
    filters: Overrides,
}

/// The routes of a virtual host.
struct Host {
    rules: Box<[Rule]>,
    index: Option<Index>,
    require_tls: RequireTls,
    /// Of a host that requires TLS.
    to_tls: Option<Box<Rule>>,
    filters: Overrides,
}

/// A route that was found. Keeps its table.
#[derive(Clone)]
pub(crate) struct Route {
    table: Arc<Table>,
    host: usize,
    /// `None`: the one that leads to TLS.
    rule: Option<usize>,
    /// By which of several clusters the request goes to one, for as long as it lasts.
    random: u64,
}

/// A compiled route.
pub(crate) struct Rule {
    pub(crate) matcher: Matcher,
    pub(crate) name: Name,
    pub(crate) action: CompiledAction,
    /// What the route, the virtual host and the table change, in the order in which it is
    /// done.
    pub(crate) request_headers: Box<[Arc<HeaderChanges>]>,
    pub(crate) response_headers: Box<[Arc<HeaderChanges>]>,
    filters: Overrides,
}

pub(crate) enum CompiledAction {
    Forward(Box<CompiledForward>),
    Redirect(Redirect),
    Direct(StatusCode, Bytes),
    /// A redirect to the same by TLS.
    ToTls,
}

pub(crate) struct CompiledForward {
    pub(crate) config: Forward,
    /// For `x-envoy-expected-rq-timeout-ms`: the time for a try, or else for all of them.
    pub(crate) expected_timeout: Option<HeaderValue>,
    pub(crate) attempts: AttemptHeaders,
    /// Of each of its destinations; none when they say nothing.
    filters: Box<[Overrides]>,
}

impl Tables {
    /// Adds a table or replaces the one of its name; the next request sees it. Does nothing
    /// when it is the same.
    pub(crate) fn put(&self, config: Arc<RouteTable>) {
        let name = Arc::clone(&config.name);
        let mut tables = lock(&self.tables);
        if tables.get(&name).is_some_and(|old| old.config == config) {
            return;
        }
        let table = Arc::new(Table::new(config));
        tables.insert(Arc::clone(&name), Arc::clone(&table));
        self.store(&name, Some(table));
    }

    /// Removes a table: its listeners answer 404 from now on.
    pub(crate) fn remove(&self, name: &str) {
        lock(&self.tables).remove(name);
        self.store(name, None);
    }

    /// The place of the table of this name, which need not have come yet.
    pub(crate) fn slot(&self, name: &Name) -> Arc<Slot> {
        let tables = lock(&self.tables);
        let mut slots = lock(&self.slots);
        if let Some(slot) = slots.get(name).and_then(Weak::upgrade) {
            return slot;
        }
        slots.retain(|_, slot| slot.strong_count() > 0);
        let slot = Arc::new(Slot(ArcSwapOption::from(tables.get(name).cloned())));
        slots.insert(Arc::clone(name), Arc::downgrade(&slot));
        slot
    }

    fn store(&self, name: &str, table: Option<Arc<Table>>) {
        if let Some(slot) = lock(&self.slots).get(name).and_then(Weak::upgrade) {
            slot.0.store(table);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Slot {
    /// A place for a table that never changes.
    pub(crate) fn fixed(config: Arc<RouteTable>) -> Arc<Self> {
        Arc::new(Self(ArcSwapOption::from_pointee(Table::new(config))))
    }

    /// The route of a request in the current table.
    pub(crate) fn route(&self, head: &Parts) -> Option<Route> {
        let table = self.0.load_full()?;
        let random = random::next();
        let (host, rule) = table.find(head, random)?;
        let route = Route { table, host, rule, random };
        let random = route.chosen_by(head).unwrap_or(random);
        Some(Route { random, ..route })
    }
}

impl Table {
    fn new(config: Arc<RouteTable>) -> Self {
        let hosts = config.virtual_hosts.iter().map(|host| Host::new(host, &config));
        Self {
            domains: Domains::new(config.virtual_hosts.iter().map(|host| &**host)),
            hosts: hosts.collect(),
            filters: Overrides::new(&config.filters),
            config,
        }
    }

    fn find(&self, head: &Parts, random: u64) -> Option<(usize, Option<usize>)> {
        let authority = head.headers.get(header::HOST).map_or("", |v| v.to_str().unwrap_or(""));
        let host = self.domains.find(authority, self.config.ignore_port)?;
        let routes = self.hosts.get(host)?;
        if routes.leads_to_tls(head) {
            return Some((host, None));
        }
        let rule = routes.find(self.path(head), head, random)?;
        Some((host, Some(rule)))
    }

    /// What of a request's path is matched.
    fn path<'h>(&self, head: &'h Parts) -> &'h str {
        let path = head.uri.path();
        match self.config.ignore_path_parameters {
            true => path.split_once(';').map_or(path, |(path, _)| path),
            false => path,
        }
    }
}

impl Host {
    fn new(host: &config::VirtualHost, table: &RouteTable) -> Self {
        Self {
            rules: host.routes.iter().map(|route| Rule::new(route, host, table)).collect(),
            index: Index::new(host.routes.iter().map(|route| &route.matcher)),
            require_tls: host.require_tls,
            to_tls: (host.require_tls != RequireTls::Nobody).then(|| Box::new(Rule::to_tls())),
            filters: Overrides::new(&host.filters),
        }
    }

    /// Whether a request did not come by TLS and should have.
    fn leads_to_tls(&self, head: &Parts) -> bool {
        let says = |name, value| head.headers.get(name).is_some_and(|found| found == value);
        let is_required = match self.require_tls {
            RequireTls::Nobody => return false,
            RequireTls::External => !says("x-envoy-internal", "true"),
            RequireTls::Everybody => true,
        };
        is_required && !says("x-forwarded-proto", "https")
    }

    fn find(&self, path: &str, head: &Parts, random: u64) -> Option<usize> {
        let matches = |rule: &Rule| rule.matcher.matches(path, head, random);
        match &self.index {
            Some(index) => index.first(path, |at| self.rules.get(at).is_some_and(matches)),
            None => self.rules.iter().position(matches),
        }
    }
}

impl Route {
    pub(crate) fn rule(&self) -> &Rule {
        let host = &self.table.hosts[self.host];
        match (self.rule, &host.to_tls) {
            (None, Some(rule)) => rule,
            (rule, _) => &host.rules[rule.unwrap_or_default()],
        }
    }

    /// The request's own number, by which it goes to one of several clusters.
    fn chosen_by(&self, head: &Parts) -> Option<u64> {
        let CompiledAction::Forward(forward) = &self.rule().action else { return None };
        let name = forward.config.chosen_by.as_ref()?;
        head.headers.get(name)?.to_str().ok()?.parse().ok()
    }

    /// Where the request goes: of several clusters always to the same one.
    pub(crate) fn destination(&self) -> Option<&Destination> {
        match &self.rule().action {
            CompiledAction::Forward(forward) => forward.config.target.choose(self.random),
            _ => None,
        }
    }

    /// What is said of the HTTP filter of this name, the most specific first: the weighted
    /// cluster's settings, the route's, the virtual host's, the table's.
    pub(crate) fn overrides<'a>(
        &'a self,
        filter: &'a str,
    ) -> impl DoubleEndedIterator<Item = &'a RouteSettings> {
        let (table, rule) = (&self.table, self.rule());
        let host = &table.hosts[self.host];
        let levels = [
            self.overrides_of_destination(),
            Some(&rule.filters),
            Some(&host.filters),
            Some(&table.filters),
        ];
        levels.into_iter().flatten().filter_map(move |level| level.of(filter))
    }

    fn overrides_of_destination(&self) -> Option<&Overrides> {
        let CompiledAction::Forward(forward) = &self.rule().action else { return None };
        if forward.filters.is_empty() {
            return None;
        }
        let chosen = self.destination()?;
        let mut all = forward.config.target.all();
        forward.filters.get(all.position(|one| std::ptr::eq(one, chosen))?)
    }

    /// Empty when the route has none.
    pub(crate) fn name(&self) -> &Name {
        &self.rule().name
    }

    /// How long a stream may be silent, when the route says something of it.
    pub(crate) fn idle_timeout(&self) -> Option<Option<Duration>> {
        match &self.rule().action {
            CompiledAction::Forward(forward) => forward.config.idle_timeout,
            _ => None,
        }
    }

    /// Whether the route lets a request ask for this protocol; `None` when it says nothing.
    pub(crate) fn allows_upgrade(&self, protocol: &[u8]) -> Option<bool> {
        match &self.rule().action {
            CompiledAction::Forward(forward) => forward.config.upgrades.allow(protocol),
            _ => None,
        }
    }
}

impl Rule {
    fn to_tls() -> Self {
        Self {
            matcher: Matcher::new(&config::RouteMatch::default()),
            name: "".into(),
            action: CompiledAction::ToTls,
            request_headers: Box::default(),
            response_headers: Box::default(),
            filters: Overrides::default(),
        }
    }

    fn new(route: &config::Route, host: &config::VirtualHost, table: &RouteTable) -> Self {
        let action = match &route.action {
            Action::Forward(forward) => CompiledAction::Forward(Box::new(CompiledForward {
                expected_timeout: expected_timeout(forward),
                attempts: host.attempts,
                filters: overrides_of(&forward.target),
                config: Forward::clone(forward),
            })),
            Action::Redirect(redirect) => CompiledAction::Redirect(redirect.clone()),
            Action::Direct(status, body) => CompiledAction::Direct(*status, body.clone()),
        };
        let all = |mut levels: [&Arc<HeaderChanges>; 3]| {
            if table.most_specific_wins {
                levels.reverse();
            }
            levels.into_iter().filter(|changes| !changes.is_empty()).cloned().collect()
        };
        Self {
            matcher: Matcher::new(&route.matcher),
            name: Arc::clone(&route.name),
            action,
            filters: Overrides::new(&route.filters),
            request_headers: all([
                &route.request_headers,
                &host.request_headers,
                &table.request_headers,
            ]),
            response_headers: all([
                &route.response_headers,
                &host.response_headers,
                &table.response_headers,
            ]),
        }
    }
}

fn expected_timeout(forward: &Forward) -> Option<HeaderValue> {
    let per_try = forward.retry.as_ref().and_then(|retry| retry.per_try_timeout);
    let shorter = per_try.into_iter().chain(forward.timeout).min()?;
    Some(HeaderValue::from(shorter.as_millis() as u64))
}

/// What weighted clusters say of filters; nothing at all when none does.
fn overrides_of(target: &Target<Destination>) -> Box<[Overrides]> {
    match target.all().any(|destination| !destination.filters.is_empty()) {
        true => target.all().map(|destination| Overrides::new(&destination.filters)).collect(),
        false => Box::default(),
    }
}
