//! Who accepts: this process, nobody yet, or one that took the sockets over.

use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use mesh_runtime::drain;
use tracing::error;

use super::Listeners;
use crate::config::{self, Address, Name};
use crate::listener::{self, Active, Bound, Inherited, Slot};
use crate::worker::Shared;

/// Who accepts connections.
pub(super) enum Doors {
    /// This process.
    Open,
    /// Nobody yet: listeners claim what is inherited, or bind.
    Closed(Inherited),
    /// The process that took the sockets over. Listeners that come, and those that went
    /// with the others, wait for [`Listeners::open`].
    HandedOver(BTreeMap<Name, Arc<config::Listener>>),
}

impl Listeners {
    /// Accepts nothing until [`Listeners::open`]; listeners take their sockets from these.
    pub(in crate::server) fn inherit(&mut self, inherited: Inherited) {
        self.doors = Doors::Closed(inherited);
    }

    /// Begins to accept, or goes on. Gives the addresses that are listened on.
    pub(in crate::server) fn open(&mut self, shared: &Arc<Shared>) -> Vec<Address> {
        let deferred = match std::mem::replace(&mut self.doors, Doors::Open) {
            Doors::HandedOver(deferred) => deferred,
            Doors::Open | Doors::Closed(_) => BTreeMap::new(),
        };
        for listener in self.by_name.values_mut() {
            listener.active.chains().for_each(|chain| chain.encourage());
            for bound in &mut listener.bound {
                if let Err(error) = bound.accept(&shared.workers) {
                    let (name, address) = (&listener.active.config.name, &bound.address);
                    error!(listener = %name, %address, %error, "cannot accept connections");
                }
            }
        }
        for error in self.put_all(deferred.into_values().collect(), shared) {
            error!("{error}");
        }
        self.bound().map(|bound| bound.address.clone()).collect()
    }

    /// Every listening socket with its address, in an order in which each worker's come in
    /// turn. For another process: the descriptors are new.
    pub(in crate::server) fn sockets(&self) -> io::Result<Vec<(Address, TcpListener)>> {
        let sockets = self.bound().flat_map(|bound| {
            bound.sockets().iter().map(|socket| Ok((bound.address.clone(), socket.try_clone()?)))
        });
        sockets.collect()
    }

    /// Stops accepting and keeps the sockets of these addresses, on which another process
    /// accepts; listeners with others go, until [`Listeners::open`].
    pub(in crate::server) fn hand_over(&mut self, claimed: &[Address]) {
        if self.hurry.is_none() {
            return;
        }
        self.doors = Doors::HandedOver(BTreeMap::new());
        let (kept, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.by_name).into_iter().partition(|(_, listener)| {
                listener.bound.iter().all(|bound| claimed.contains(&bound.address))
            });
        self.by_name = kept;
        let mut deferred = BTreeMap::new();
        for (name, listener) in gone {
            deferred.insert(name, Arc::clone(&listener.active.config));
            self.retire(listener, None, self.drain_time);
        }
        self.doors = Doors::HandedOver(deferred);
        self.publish();
        let patience = self.drain_time;
        let bound = self.by_name.values_mut().flat_map(|listener| &mut listener.bound);
        let paused: Vec<_> = bound.filter_map(|bound| bound.pause(patience)).collect();
        for arrivals in paused {
            self.drain(arrivals, Vec::new(), patience);
        }
    }

    /// Lets the connections go one after the other in the time `over`.
    pub(in crate::server) fn discourage(&self, over: Duration) {
        let chains = self.by_name.values().flat_map(|listener| listener.active.chains());
        chains.for_each(|chain| chain.discourage(over));
    }

    /// Lets connections go, or no more of them.
    pub(in crate::server) fn set_failing(&self, is_failing: bool) {
        match is_failing {
            true => self.discourage(self.drain_time),
            false => {
                let chains = self.by_name.values().flat_map(|listener| listener.active.chains());
                chains.for_each(|chain| chain.encourage());
            }
        }
    }

    /// Ends all connections at once; new ones get filter chains of their own.
    pub(in crate::server) fn cut(&mut self, shared: &Arc<Shared>) {
        let Some((hurry, _)) = self.hurry.take() else { return };
        self.hurry = Some(drain::channel());
        self.control.spawn(hurry.abort());
        let mut cut = Vec::new();
        for listener in self.by_name.values_mut() {
            let fresh = Active::new(Arc::clone(&listener.active.config), shared, None);
            let Ok(fresh) = fresh.map(Arc::new).inspect_err(|error| error!("{error}")) else {
                continue;
            };
            listener.slot.current.store(Arc::clone(&fresh));
            cut.extend(std::mem::replace(&mut listener.active, fresh).chains().cloned());
        }
        self.publish();
        self.drain(std::future::ready(()), cut, Duration::ZERO);
    }

    /// The sockets of one of a listener's addresses, inherited or new, which accept unless
    /// nobody does yet.
    pub(super) fn sockets_for(
        &mut self,
        address: &Address,
        config: &config::Listener,
        slot: &Arc<Slot>,
        shared: &Shared,
    ) -> io::Result<Bound> {
        let bind = |may_be_shared| match address {
            Address::Ip(address) => listener::bind(*address, shared.workers.count(), may_be_shared),
            Address::Pipe(name) => Ok(vec![listener::bind_pipe(name, config.pipe_mode)?]),
        };
        let (sockets, is_open) = match &mut self.doors {
            Doors::Closed(inherited) => match inherited.claim(address) {
                Some(sockets) => (sockets, false),
                // The older process may listen on the same port of another address.
                None => {
                    let port = address.ip().map(|address| address.port());
                    (bind(port.is_some_and(|port| inherited.knows_port(port)))?, false)
                }
            },
            Doors::Open | Doors::HandedOver(_) => (bind(false)?, true),
        };
        if config.transparent {
            listener::make_transparent(&sockets)?;
        }
        let mut bound = Bound::new(address.clone(), slot, sockets)?;
        if is_open {
            bound.accept(&shared.workers)?;
        }
        Ok(bound)
    }

    fn bound(&self) -> impl Iterator<Item = &Bound> {
        self.by_name.values().flat_map(|listener| &listener.bound)
    }
}
