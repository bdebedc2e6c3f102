use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use prost::{Message, Name};
use prost_types::Any;

use crate::ResourceType;

/// A resource as it goes over the wire, shared by every stream that sends it.
#[derive(Debug)]
pub struct EncodedResource {
    name: Arc<str>,
    any: Any,
    hash: u64,
}

impl EncodedResource {
    /// Encodes `message`; `name` is what it is subscribed to by.
    pub fn new<M: Message + Name>(name: &str, message: &M) -> Self {
        let any = mesh_proto::any::pack(message);
        let hash = content_hash(|hasher| {
            name.hash(hasher);
            any.type_url.hash(hasher);
            any.value.hash(hasher);
        });
        Self { name: name.into(), any, hash }
    }

    /// The name that it is subscribed to by.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Type and encoded message.
    pub fn any(&self) -> &Any {
        &self.any
    }

    /// Of name and content; the same in every process of one build.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    fn same_content(&self, other: &Self) -> bool {
        self.name == other.name && self.any == other.any
    }
}

/// SipHash with fixed keys: not secret, but the same after a restart.
pub(super) fn content_hash(feed: impl FnOnce(&mut DefaultHasher)) -> u64 {
    let mut hasher = DefaultHasher::new();
    feed(&mut hasher);
    hasher.finish()
}

/// Resources of one type, by name.
pub type ResourceMap = BTreeMap<Arc<str>, Arc<EncodedResource>>;

/// All that one client may be told.
#[derive(Clone, Debug, Default)]
pub struct Resources {
    types: [ResourceMap; ResourceType::ALL.len()],
}

impl Resources {
    /// Adds a resource, or replaces the one of the same name.
    pub fn insert(&mut self, resource_type: ResourceType, resource: Arc<EncodedResource>) {
        self.types[resource_type.index()].insert(resource.name.clone(), resource);
    }

    /// Those of one type.
    pub fn get(&self, resource_type: ResourceType) -> &ResourceMap {
        &self.types[resource_type.index()]
    }
}

/// Encoded resources that are in use somewhere, so that equal ones are kept once.
#[derive(Debug, Default)]
pub struct Store {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    by_hash: HashMap<u64, Weak<EncodedResource>>,
    /// The length at which what nobody uses any more is thrown out.
    sweep_at: usize,
}

impl Store {
    /// Encodes `message`, or finds the equal resource that is already there.
    pub fn encode<M: Message + Name>(&self, name: &str, message: &M) -> Arc<EncodedResource> {
        let resource = EncodedResource::new(name, message);
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = inner.by_hash.get(&resource.hash).and_then(Weak::upgrade)
            && known.same_content(&resource)
        {
            return known;
        }
        let resource = Arc::new(resource);
        inner.by_hash.insert(resource.hash, Arc::downgrade(&resource));
        if inner.by_hash.len() > inner.sweep_at {
            inner.by_hash.retain(|_, resource| resource.strong_count() > 0);
            inner.sweep_at = 1024.max(2 * inner.by_hash.len());
        }
        resource
    }

    /// How many resources are in use.
    pub fn len(&self) -> usize {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.by_hash.values().filter(|resource| resource.strong_count() > 0).count()
    }

    /// Whether no resource is in use.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_proto::envoy::config::cluster::v3::Cluster;

    fn cluster(name: &str, alt: &str) -> Cluster {
        Cluster { name: name.to_owned(), alt_stat_name: alt.to_owned(), ..Default::default() }
    }

    #[test]
    fn equal_resources_are_kept_once_and_no_longer_than_used() {
        let store = Store::default();
        let first = store.encode("a", &cluster("a", ""));
        assert!(Arc::ptr_eq(&first, &store.encode("a", &cluster("a", ""))));
        let other = store.encode("a", &cluster("a", "x"));
        assert_ne!(first.hash(), other.hash());
        assert_eq!(store.len(), 2);
        drop((first, other));
        assert!(store.is_empty());
    }

    #[test]
    fn hash_is_of_name_and_content() {
        let hash = |name, alt| EncodedResource::new(name, &cluster("c", alt)).hash();
        assert_eq!(hash("a", ""), hash("a", ""));
        assert_ne!(hash("a", ""), hash("b", ""));
        assert_ne!(hash("a", ""), hash("a", "x"));
    }
}
