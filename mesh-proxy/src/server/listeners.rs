//! The listeners that there are, and those on their way out.

mod doors;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use mesh_runtime::drain::{self, Trigger, Watcher};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::stats::Stats;
use crate::config::{self, Address, Name};
use crate::listener::{Active, Bound, Chain, Slot, Table};
use crate::stats::Registry;
use crate::worker::Shared;
use doors::Doors;

/// Why a listener was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenerError {
    #[error("listener {name}: cannot listen on {address}: {}", reason(.source))]
    Bind { name: Name, address: Address, source: io::Error },
    #[error("listener {name}: {address} is the address of listener {other} already")]
    Duplicate { name: Name, address: Address, other: Name },
    #[error("listener {name}: cannot open its access log: {source}")]
    AccessLog { name: Name, source: io::Error },
    #[error("listener {name}: not added, because the proxy is shutting down")]
    Draining { name: Name },
}

impl ListenerError {
    /// The listener's name.
    pub(crate) fn name(&self) -> &Name {
        match self {
            Self::Bind { name, .. }
            | Self::Duplicate { name, .. }
            | Self::AccessLog { name, .. }
            | Self::Draining { name } => name,
        }
    }
}

/// A listener, as the admin pages show it.
#[derive(Clone, Debug)]
pub(crate) struct ListenerInfo {
    pub(crate) config: Arc<config::Listener>,
    /// The address that is listened on, or that an unbound listener takes connections for.
    pub(crate) address: Address,
    /// The same of the others, in the configuration's order.
    pub(crate) additional_addresses: Vec<Address>,
}

/// All listeners by name, and the drains of what was removed.
pub(super) struct Listeners {
    by_name: BTreeMap<Name, Listener>,
    /// The same by address, for the workers.
    by_address: Arc<Table>,
    drains: JoinSet<()>,
    control: Handle,
    drain_time: Duration,
    stats: Stats,
    doors: Doors,
    /// Those that take what comes in have drained, and no other is taken.
    is_inbound_over: bool,
    /// Ends every drain before its time. Taken by the drain of everything, after which
    /// nothing changes any more.
    hurry: Option<(Trigger, Watcher)>,
}

struct Listener {
    active: Arc<Active>,
    slot: Arc<Slot>,
    /// One for each address, in the configuration's order; none of a listener that is not
    /// bound.
    bound: Vec<Bound>,
}

impl Listeners {
    pub(super) fn new(control: Handle, drain_time: Duration, registry: &Registry) -> Self {
        let (by_name, by_address) = (BTreeMap::new(), Arc::default());
        let drains = JoinSet::new();
        let stats = Stats::new(registry);
        let hurry = Some(drain::channel());
        let doors = Doors::Open;
        let is_inbound_over = false;
        Self {
            by_name,
            by_address,
            drains,
            control,
            drain_time,
            stats,
            doors,
            is_inbound_over,
            hurry,
        }
    }

    /// Puts several, in an order in which each finds its address free. Of those that
    /// change places in a circle one is removed first.
    pub(super) fn put_all(
        &mut self,
        mut waiting: Vec<Arc<config::Listener>>,
        shared: &Arc<Shared>,
    ) -> Vec<ListenerError> {
        if let Doors::HandedOver(deferred) = &mut self.doors {
            deferred.extend(waiting.into_iter().map(|config| (config.name.clone(), config)));
            return Vec::new();
        }
        let mut errors = Vec::new();
        loop {
            let count = waiting.len();
            let (blocked, free): (Vec<_>, Vec<_>) =
                waiting.into_iter().partition(|config| self.holder(config).is_some());
            let is_stuck = blocked.len() == count;
            errors.extend(free.into_iter().filter_map(|config| self.put(config, shared).err()));
            if is_stuck {
                match self.one_of_a_circle(&blocked) {
                    Some(name) => self.remove(&name),
                    None => {
                        let refused = blocked.into_iter();
                        errors.extend(refused.filter_map(|config| self.put(config, shared).err()));
                        return errors;
                    }
                }
            }
            waiting = blocked;
        }
    }

    /// Of listeners that wait for each other's addresses, one.
    fn one_of_a_circle(&self, blocked: &[Arc<config::Listener>]) -> Option<Name> {
        let next = |name: &Name| {
            let config = blocked.iter().find(|config| config.name == *name)?;
            self.holder(config)
        };
        let is_in_circle = |start: &&Name| {
            let mut names = std::iter::successors(next(start), next).take(blocked.len());
            names.any(|name| name == **start)
        };
        blocked.iter().map(|config| &config.name).find(is_in_circle).cloned()
    }

    fn put(
        &mut self,
        config: Arc<config::Listener>,
        shared: &Arc<Shared>,
    ) -> Result<(), ListenerError> {
        let done = self.try_put(config, shared);
        if done.is_err() {
            self.stats.create_failure.inc();
        }
        done
    }

    fn try_put(
        &mut self,
        config: Arc<config::Listener>,
        shared: &Arc<Shared>,
    ) -> Result<(), ListenerError> {
        let name = config.name.clone();
        if self.hurry.is_none() || (self.is_inbound_over && config.is_inbound) {
            return Err(ListenerError::Draining { name });
        }
        let old = self.by_name.get(&name);
        if old.is_some_and(|old| old.active.config == config) {
            return Ok(());
        }
        if let Some((address, other)) = self.held(&config) {
            return Err(ListenerError::Duplicate { name, address, other });
        }
        let active = Active::new(config, shared, old.map(|old| &*old.active))
            .map(Arc::new)
            .map_err(|source| ListenerError::AccessLog { name: name.clone(), source })?;
        let is_new = old.is_none();
        match old.is_some_and(|old| old.keeps_sockets(&active.config)) {
            true => self.replace(active),
            false => self.bind(active, shared)?,
        }
        if is_new { &self.stats.added } else { &self.stats.modified }.inc();
        self.publish();
        Ok(())
    }

    /// Puts a new version in the place of one with the same sockets, or none.
    fn replace(&mut self, active: Arc<Active>) {
        let Some(listener) = self.by_name.get_mut(&active.config.name) else { return };
        let old = std::mem::replace(&mut listener.active, Arc::clone(&active));
        listener.slot.current.store(Arc::clone(&active));
        self.drain(std::future::ready(()), gone(&old, Some(&active)), self.drain_time);
    }

    /// Adds a listener, or one whose addresses changed: first the sockets that are new. Those
    /// of an address that stays are kept.
    fn bind(&mut self, active: Arc<Active>, shared: &Shared) -> Result<(), ListenerError> {
        let config = &active.config;
        let name = &config.name;
        let mut former = self.by_name.get_mut(name).map_or_else(Vec::new, |old| {
            if old.may_share_sockets(config) { std::mem::take(&mut old.bound) } else { Vec::new() }
        });
        let slot = match (self.by_name.get(name), former.is_empty()) {
            (Some(old), false) => Arc::clone(&old.slot),
            _ => Arc::new(Slot::new(Arc::clone(&active), &self.by_address)),
        };
        let is_new = |address: &&Address| former.iter().all(|bound| bound.asked != **address);
        let new = match config.bind_to_port {
            true => config.addresses().filter(is_new).cloned().collect(),
            false => Vec::new(),
        };
        let mut bound = match self.sockets_of(new, &active, &slot, shared) {
            Ok(bound) => bound,
            Err(error) => {
                if let Some(old) = self.by_name.get_mut(name) {
                    old.bound.append(&mut former);
                }
                return Err(error);
            }
        };
        let (kept, gone) = former.into_iter().partition(|bound| {
            config.bind_to_port && config.addresses().any(|address| *address == bound.asked)
        });
        bound.extend::<Vec<_>>(kept);
        bound.sort_by_key(|bound| config.addresses().position(|address| *address == bound.asked));
        slot.current.store(Arc::clone(&active));
        let listener = Listener { active: Arc::clone(&active), slot, bound };
        if let Some(mut old) = self.by_name.insert(name.clone(), listener) {
            old.bound.extend::<Vec<_>>(gone);
            self.retire(old, Some(&active), self.drain_time);
        }
        Ok(())
    }

    /// The sockets of these addresses, or of none of them.
    fn sockets_of(
        &mut self,
        addresses: Vec<Address>,
        active: &Active,
        slot: &Arc<Slot>,
        shared: &Shared,
    ) -> Result<Vec<Bound>, ListenerError> {
        let mut all = Vec::with_capacity(addresses.len());
        for address in addresses {
            match self.sockets_for(&address, &active.config, slot, shared) {
                Ok(bound) => all.push(bound),
                Err(source) => {
                    let closed = self.close(all);
                    self.drain(closed, Vec::new(), self.drain_time);
                    let name = active.config.name.clone();
                    return Err(ListenerError::Bind { name, address, source });
                }
            }
        }
        Ok(all)
    }

    pub(super) fn remove(&mut self, name: &str) {
        if self.hurry.is_none() {
            return;
        }
        if let Doors::HandedOver(deferred) = &mut self.doors {
            deferred.remove(name);
        }
        if let Some(old) = self.by_name.remove(name) {
            self.stats.removed.inc();
            self.publish();
            self.retire(old, None, self.drain_time);
        }
    }

    /// Drains everything, and gives the drains, those of before too, with what ends them
    /// early.
    pub(super) fn retire_all(&mut self, timeout: Duration) -> (JoinSet<()>, Option<Trigger>) {
        for (_, listener) in std::mem::take(&mut self.by_name) {
            self.retire(listener, None, timeout);
        }
        let hurry = self.hurry.take().map(|(hurry, _)| hurry);
        (std::mem::take(&mut self.drains), hurry)
    }

    /// Drains the listeners for what comes in, for good.
    pub(super) fn retire_inbound(&mut self, timeout: Duration) {
        self.is_inbound_over = true;
        let inbound = self.by_name.extract_if(.., |_, listener| listener.active.config.is_inbound);
        let inbound: Vec<_> = inbound.map(|(_, listener)| listener).collect();
        self.publish();
        for listener in inbound {
            self.retire(listener, None, timeout);
        }
    }

    pub(super) fn infos(&self) -> Vec<ListenerInfo> {
        let info = |listener: &Listener| {
            let config = &listener.active.config;
            let actual = |asked: &Address| {
                let bound = listener.bound.iter().find(|bound| bound.asked == *asked);
                bound.map_or_else(|| asked.clone(), |bound| bound.address.clone())
            };
            ListenerInfo {
                config: Arc::clone(config),
                address: actual(&config.address),
                additional_addresses: config.additional_addresses.iter().map(actual).collect(),
            }
        };
        self.by_name.values().map(info).collect()
    }

    /// Another listener that has one of the addresses already: two cannot, but port 0 is
    /// another port each time.
    fn holder(&self, config: &config::Listener) -> Option<Name> {
        self.held(config).map(|(_, holder)| holder)
    }

    /// Such an address, and who has it.
    fn held(&self, config: &config::Listener) -> Option<(Address, Name)> {
        let others = self.by_name.values().map(|listener| &listener.active.config);
        let mut others = others.filter(|other| other.name != config.name);
        others.find_map(|other| Some((config.shared_address(other)?.clone(), other.name.clone())))
    }

    fn publish(&self) {
        self.stats.active.set(self.by_name.len() as u64);
        self.by_address.replace(self.by_name.values().map(|listener| &listener.active));
    }

    /// Closes a listener's sockets and drains the filter chains that `successor` did not
    /// take over.
    fn retire(&mut self, old: Listener, successor: Option<&Active>, timeout: Duration) {
        let chains = gone(&old.active, successor);
        let closed = self.close(old.bound);
        self.drain(closed, chains, timeout);
    }

    /// Closes sockets, but for those that may be another listener's in a moment. What it
    /// returns ends when every connection that was accepted has its filter chain.
    fn close(&mut self, bound: Vec<Bound>) -> impl Future<Output = ()> + Send + use<> {
        let mut arrivals = Vec::with_capacity(bound.len());
        for bound in bound {
            match &mut self.doors {
                Doors::Closed(inherited) => {
                    inherited.add(bound.address.clone(), bound.into_sockets());
                }
                Doors::Open | Doors::HandedOver(_) => arrivals.push(bound.stop()),
            }
        }
        async move {
            join_all(arrivals).await;
        }
    }

    /// Drains `chains`, once `arrived`. In a hurry the chains are retired all the same, so
    /// that no connection is forgotten.
    fn drain(
        &mut self,
        arrived: impl Future<Output = ()> + Send + 'static,
        chains: Vec<Arc<Chain>>,
        timeout: Duration,
    ) {
        while self.drains.try_join_next().is_some() {}
        let Some((_, hurry)) = &self.hurry else { return };
        let hurry = hurry.clone();
        let draining = self.stats.draining.hold();
        let drain = async move {
            let _draining = draining;
            let mut early = hurry.clone();
            tokio::select! {
                () = arrived => {}
                () = early.immediate() => {}
            }
            let end = || {
                let mut hurry = hurry.clone();
                async move {
                    tokio::select! {
                        () = tokio::time::sleep(timeout) => {}
                        () = hurry.immediate() => {}
                    }
                }
            };
            let triggers = chains.iter().filter_map(|chain| chain.retire());
            let drains: Vec<_> = triggers.map(|trigger| trigger.drain_until(end())).collect();
            // A connection may hold its chain: not this task, or its end would wait for us.
            drop(chains);
            join_all(drains).await;
        };
        self.drains.spawn_on(drain, &self.control);
    }
}

impl Listener {
    fn keeps_sockets(&self, new: &config::Listener) -> bool {
        let old = &self.active.config;
        old.addresses().eq(new.addresses())
            && old.bind_to_port == new.bind_to_port
            && self.may_share_sockets(new)
    }

    /// Whether `new` can take the sockets of an address that both have. One that is to be
    /// transparent and was not needs others: of the same address, they are refused as long as
    /// the old ones are there, and that is said.
    fn may_share_sockets(&self, new: &config::Listener) -> bool {
        let old = &self.active.config;
        old.pipe_mode == new.pipe_mode && old.transparent == new.transparent
    }
}

/// The chains of `old` that are not in `new`.
fn gone(old: &Active, new: Option<&Active>) -> Vec<Arc<Chain>> {
    let kept = |chain: &&Arc<Chain>| {
        new.is_some_and(|new| new.chains().any(|other| Arc::ptr_eq(chain, other)))
    };
    old.chains().filter(|chain| !kept(chain)).cloned().collect()
}

/// What to do about it, where we know.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "address already in use (another process listens on it, or \
             an earlier proxy has not ended)"
            .to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "permission denied (ports below 1024 need CAP_NET_BIND_SERVICE)".to_owned()
        }
        _ => error.to_string(),
    }
}
