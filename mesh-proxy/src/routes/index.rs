//! Which routes of a large virtual host a path can be for.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::config::{PathMatch, RouteMatch};

/// With fewer routes than this, asking each of them is quicker.
const MIN_ROUTES: usize = 16;

/// Routes by their path, each as its place in the order of the virtual host.
#[derive(Debug)]
pub(super) struct Index {
    exact: HashMap<Box<str>, Vec<u32>, RandomState>,
    /// In the order of their texts.
    prefixes: Box<[Prefix]>,
    /// Those whose path is no plain text: they are asked always.
    others: Box<[u32]>,
}

#[derive(Debug)]
struct Prefix {
    text: Box<str>,
    routes: Vec<u32>,
    /// The longest other prefix that this one begins with.
    parent: Option<usize>,
}

impl Index {
    /// `None` for so few routes that they need no index.
    pub(super) fn new<'a>(
        routes: impl ExactSizeIterator<Item = &'a RouteMatch> + Clone,
    ) -> Option<Self> {
        (routes.len() >= MIN_ROUTES).then(|| Self::of(routes))
    }

    fn of<'a>(routes: impl Iterator<Item = &'a RouteMatch>) -> Self {
        let mut exact = HashMap::<Box<str>, Vec<u32>, RandomState>::default();
        let mut prefixes = HashMap::<Box<str>, Vec<u32>, RandomState>::default();
        let mut others = Vec::new();
        for (route, number) in routes.zip(0..) {
            let (map, text) = match &route.path {
                _ if !route.case_sensitive => {
                    others.push(number);
                    continue;
                }
                PathMatch::Regex(_) | PathMatch::Connect => {
                    others.push(number);
                    continue;
                }
                PathMatch::Exact(text) => (&mut exact, text),
                PathMatch::Prefix(text) | PathMatch::SeparatedPrefix(text) => (&mut prefixes, text),
            };
            map.entry(text.as_str().into()).or_default().push(number);
        }
        Self { exact, prefixes: sorted(prefixes), others: others.into() }
    }

    /// The first route that `matches`, of those whose path can be this one.
    pub(super) fn first(&self, path: &str, matches: impl Fn(usize) -> bool) -> Option<usize> {
        let mut best = None;
        let mut ask = |routes: &[u32]| {
            let mut earlier = routes.iter().take_while(|route| best.is_none_or(|b| **route < b));
            best = earlier.find(|route| matches(**route as usize)).copied().or(best);
        };
        if let Some(routes) = self.exact.get(path) {
            ask(routes);
        }
        // Every prefix of the path is the last one that is not greater, or one that this
        // begins with: whatever lies between a prefix and the path begins with the prefix.
        let mut next = self.prefixes.partition_point(|prefix| *prefix.text <= *path).checked_sub(1);
        while let Some(prefix) = next.and_then(|at| self.prefixes.get(at)) {
            if path.starts_with(&*prefix.text) {
                ask(&prefix.routes);
            }
            next = prefix.parent;
        }
        ask(&self.others);
        best.map(|route| route as usize)
    }
}

fn sorted(prefixes: HashMap<Box<str>, Vec<u32>, RandomState>) -> Box<[Prefix]> {
    let prefix = |(text, routes)| Prefix { text, routes, parent: None };
    let mut prefixes: Vec<_> = prefixes.into_iter().map(prefix).collect();
    prefixes.sort_unstable_by(|a, b| a.text.cmp(&b.text));
    // Those that the next one may begin with, each a beginning of the one after it.
    let mut open: Vec<usize> = Vec::new();
    for at in 0..prefixes.len() {
        let text = &prefixes[at].text;
        while open.last().is_some_and(|last| !text.starts_with(&*prefixes[*last].text)) {
            open.pop();
        }
        prefixes[at].parent = open.last().copied();
        open.push(at);
    }
    prefixes.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Regex;
    use std::cell::Cell;

    fn route(path: PathMatch, case_sensitive: bool) -> RouteMatch {
        RouteMatch { path, case_sensitive, ..RouteMatch::default() }
    }

    #[test]
    fn gives_the_first_of_those_that_can_match() {
        let routes = [
            route(PathMatch::Exact("/a/b".into()), true),
            route(PathMatch::Prefix("/a/b/".into()), true),
            route(PathMatch::SeparatedPrefix("/a".into()), true),
            route(PathMatch::Prefix("/A".into()), false),
            route(PathMatch::Regex(Regex::new("/[0-9]+").unwrap()), true),
            route(PathMatch::Prefix("/a/b".into()), true),
            route(PathMatch::Prefix("/".into()), true),
        ];
        let index = Index::of(routes.iter());
        // Those that could match this path, in order, are asked until one does.
        for (path, candidates) in [
            ("/a/b", &[0, 2, 3, 4, 5, 6][..]),
            ("/a/b/c", &[1, 2, 3, 4, 5, 6]),
            ("/a/bc", &[2, 3, 4, 5, 6]),
            ("/a", &[2, 3, 4, 6]),
            ("/ab", &[2, 3, 4, 6]),
            ("/z", &[3, 4, 6]),
            ("*", &[3, 4]),
        ] {
            let mut found = Vec::new();
            while let Some(next) = index.first(path, |route| !found.contains(&route)) {
                found.push(next);
            }
            assert_eq!(found, candidates, "{path}");
        }
    }

    #[test]
    fn ten_thousand_routes_are_not_asked_one_by_one() {
        let exact = (0..5000).map(|n| route(PathMatch::Exact(format!("/e/{n}")), true));
        let prefixes = (0..5000).map(|n| route(PathMatch::Prefix(format!("/p/{n}/")), true));
        let routes: Vec<_> = exact.chain(prefixes).collect();
        let index = Index::new(routes.iter()).unwrap();
        for (path, expected, most) in
            [("/e/4999", Some(4999), 1), ("/p/4998/x", Some(9998), 1), ("/q", None, 0)]
        {
            let asked = Cell::new(0);
            let found = index.first(path, |_| {
                asked.set(asked.get() + 1);
                true
            });
            assert_eq!(found, expected, "{path}");
            assert!(asked.get() <= most, "{path}: {} asked", asked.get());
        }
        assert!(Index::new(routes[..3].iter()).is_none());
    }
}
