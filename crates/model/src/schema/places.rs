//! Where the schemas of a schema stand, what they are known by, and where references lead: found before the validator
//! finds it, in the same way. What it would compile is what is looked at here.

use std::collections::{HashMap, HashSet};
use std::ptr;

use percent_encoding::percent_decode_str;
use serde_json::Value;
use url::Url;

use super::parts::parts;
use super::shortened;
use crate::validate::Problem;

/// Schemas within each other or beside.
pub(super) const MAX_SCHEMAS: usize = 8_192;
/// Of them, those with an `$id`. The validator looks for one of these by going through all.
pub(super) const MAX_RESOURCES: usize = 1_024;
/// Characters of an `$id` with the address that it stands within: each is kept.
pub(super) const MAX_ADDRESS_CHARS: usize = 2_048;
/// Bytes of the pointers to all schemas: each is kept, some times over.
pub(super) const MAX_POINTER_BYTES: usize = 4 << 20;
/// Values of what references lead to where the draft has no schemas. The validator checks each schema there with all
/// that lies within it.
pub(super) const MAX_STRAY_VALUES: usize = 1 << 17;
/// Values that a pattern counts as there, with one for each byte: it is read and compiled each time.
const VALUES_A_PATTERN: usize = 128;

/// Where a schema stands.
struct Place {
    pointer: String,
    /// The index of the resource that it belongs to.
    resource: usize,
}

/// A schema with an address of its own, which references within it are relative to. The root is one.
struct Resource<'a> {
    address: Url,
    root: &'a Value,
    pointer: String,
    anchors: HashMap<&'a str, &'a Value>,
    dynamic_anchors: HashSet<&'a str>,
}

/// All of a schema's.
pub(super) struct Places<'a> {
    /// By where they lie in memory.
    places: HashMap<*const Value, Place>,
    resources: Vec<Resource<'a>>,
    by_address: HashMap<Url, usize>,
    pointer_bytes: usize,
    /// Values that may still lie where the draft has no schemas.
    stray_values: usize,
    /// What references lead to there.
    stray: Vec<&'a Value>,
}

impl<'a> Places<'a> {
    /// Those where the draft has schemas. `address` is what the root is known by, besides its `$id`.
    pub(super) fn of(root: &'a Value, address: &str) -> Result<Self, Problem> {
        let mut places = Self {
            places: HashMap::new(),
            resources: vec![],
            by_address: HashMap::new(),
            pointer_bytes: 0,
            stray_values: MAX_STRAY_VALUES,
            stray: vec![],
        };
        let address = Url::parse(address).map_err(|error| error.to_string())?;
        places.by_address.insert(address.clone(), 0);
        let resource = places.add_resource(root, "", &address)?;
        places.gather(root, String::new(), resource)?;
        Ok(places)
    }

    /// What references lead to where the draft has no schemas, with where it stands.
    pub(super) fn stray(&self) -> impl Iterator<Item = (&'a Value, &str)> {
        self.stray.iter().map(|part| (*part, self.pointer(part)))
    }

    pub(super) fn is_schema(&self, value: &Value) -> bool {
        self.places.contains_key(&ptr::from_ref(value))
    }

    fn pointer(&self, part: &Value) -> &str {
        self.places.get(&ptr::from_ref(part)).map_or("", |place| &place.pointer)
    }

    /// What is said of something under a keyword of a schema begins so.
    pub(super) fn at(&self, part: &Value, keyword: &str) -> String {
        at(self.pointer(part), keyword)
    }

    fn gather(&mut self, part: &'a Value, pointer: String, within: usize) -> Result<(), Problem> {
        let resource = match (id(part), self.resources.get(within)) {
            (Some(_), Some(outer)) if !pointer.is_empty() => {
                let base = outer.address.clone();
                self.add_resource(part, &pointer, &base)?
            }
            _ => within,
        };
        if let Some(resource) = self.resources.get_mut(resource) {
            for keyword in ["$anchor", "$dynamicAnchor"] {
                let Some(name) = part.get(keyword).and_then(Value::as_str) else { continue };
                resource.anchors.entry(name).or_insert(part);
                if keyword == "$dynamicAnchor" {
                    resource.dynamic_anchors.insert(name);
                }
            }
        }
        for inner in parts(part) {
            self.gather(inner.schema, inner.pointer(&pointer), resource)?;
        }
        self.add(part, pointer, resource)
    }

    fn add(&mut self, part: &Value, pointer: String, resource: usize) -> Result<(), Problem> {
        self.pointer_bytes += pointer.len();
        if self.pointer_bytes > MAX_POINTER_BYTES {
            return Err(format!(
                "has long names around too many schemas: the pointers to all of them have more than {MAX_POINTER_BYTES} bytes"
            ));
        }
        self.places.insert(ptr::from_ref(part), Place { pointer, resource });
        if self.places.len() > MAX_SCHEMAS {
            return Err(format!("consists of more than {MAX_SCHEMAS} schemas"));
        }
        Ok(())
    }

    fn add_resource(&mut self, root: &'a Value, pointer: &str, base: &Url) -> Result<usize, Problem> {
        let index = self.resources.len();
        if index == MAX_RESOURCES {
            return Err(format!("has more than {MAX_RESOURCES} schemas with an `$id`"));
        }
        let address = match id(root) {
            None => base.clone(),
            Some(id) => base
                .join(id)
                .map_err(|error| format!("{}`{}` is no address: {error}", at(pointer, "$id"), shortened(id)))?,
        };
        if address.as_str().len() > MAX_ADDRESS_CHARS {
            return Err(format!("{}has more than {MAX_ADDRESS_CHARS} characters as an address", at(pointer, "$id")));
        }
        // The validator refuses what has the address of another one.
        self.by_address.entry(address.clone()).or_insert(index);
        let (anchors, dynamic_anchors) = (HashMap::new(), HashSet::new());
        self.resources.push(Resource { address, root, pointer: pointer.to_owned(), anchors, dynamic_anchors });
        Ok(index)
    }

    /// The schema that a reference of another one leads to.
    pub(super) fn follow(&mut self, from: &Value, keyword: &str, reference: &str) -> Result<&'a Value, Problem> {
        let found = self.found(from, reference);
        found.map_err(|why| {
            let at = self.at(from, keyword);
            format!("{at}has a reference that cannot be followed: `{}` {why}", shortened(reference))
        })
    }

    /// All schemas with a `$dynamicAnchor` of this name.
    pub(super) fn with_dynamic_anchor(&self, name: &str) -> Vec<&'a Value> {
        let named = self.resources.iter().filter(|resource| resource.dynamic_anchors.contains(name));
        named.filter_map(|resource| resource.anchors.get(name).copied()).collect()
    }

    fn found(&mut self, from: &Value, reference: &str) -> Result<&'a Value, Problem> {
        const NO_PART: &str = "is not a part of the schema, and nothing is fetched";
        let (address, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let mut resource = self.places.get(&ptr::from_ref(from)).map(|place| place.resource).unwrap_or_default();
        if !address.is_empty() {
            let base = self.resources.get(resource).and_then(|base| base.address.join(address).ok());
            resource = base.and_then(|address| self.by_address.get(&address).copied()).ok_or(NO_PART)?;
        }
        let fragment = percent_decode_str(fragment).decode_utf8().map_err(|error| error.to_string())?;
        if fragment.is_empty() || fragment.starts_with('/') {
            return self.pointed_at(resource, &fragment);
        }
        let anchor = self.resources.get(resource).and_then(|resource| resource.anchors.get(&*fragment));
        anchor.copied().ok_or_else(|| "leads nowhere".into())
    }

    /// What a JSON pointer leads to. The validator knows what it has compiled by the pointer's text, so that each place
    /// may have one only (RFC 6901): it reads `00` and `+0` as an index, too.
    fn pointed_at(&mut self, resource: usize, fragment: &str) -> Result<&'a Value, Problem> {
        const NOWHERE: &str = "leads nowhere";
        let start = self.resources.get(resource).ok_or(NOWHERE)?;
        let (mut value, mut pointer, mut within) = (start.root, start.pointer.clone(), resource);
        for token in fragment.split('/').skip(1) {
            value = match value {
                Value::Object(members) => members.get(&token.replace("~1", "/").replace("~0", "~")),
                Value::Array(items) => match token.parse::<usize>() {
                    Ok(index) if index.to_string() != token => {
                        return Err(format!("has `{token}`, which is no index, but `{index}` is"));
                    }
                    index => index.ok().and_then(|index| items.get(index)),
                },
                _ => None,
            }
            .ok_or(NOWHERE)?;
            within = self.places.get(&ptr::from_ref(value)).map_or(within, |place| place.resource);
            pointer.push('/');
            pointer.push_str(token);
        }
        if !self.is_schema(value) {
            self.gather_stray(value, pointer, within)?;
            self.stray.push(value);
        }
        Ok(value)
    }

    /// What a reference leads to where the draft has no schemas, as under `components`.
    fn gather_stray(&mut self, part: &'a Value, pointer: String, resource: usize) -> Result<(), Problem> {
        if self.is_schema(part) {
            return Ok(());
        }
        if !take_values(part, &mut self.stray_values) {
            return Err(format!(
                "leads, with others, to more than {MAX_STRAY_VALUES} values where no schemas stand by the draft, each of \
                 them counted for all schemas that it lies within; `$defs` has no such limit"
            ));
        }
        // The validator sees these when it comes there, and whether that is too late for a reference is a matter of chance.
        for keyword in ["$id", "$anchor", "$dynamicAnchor"] {
            if part.get(keyword).is_some_and(Value::is_string) {
                return Err(format!(
                    "leads to what has an `{keyword}` and stands where none counts; `$defs` is for it"
                ));
            }
        }
        for inner in parts(part) {
            self.gather_stray(inner.schema, inner.pointer(&pointer), resource)?;
        }
        self.add(part, pointer, resource)
    }
}

/// Takes the values of something from those that are `left`, if there are so many.
fn take_values(value: &Value, left: &mut usize) -> bool {
    let mut take = |values: usize| {
        let fewer = left.checked_sub(values);
        *left = fewer.unwrap_or_default();
        fewer.is_some()
    };
    let mut take_pattern = |pattern: &str| take(VALUES_A_PATTERN + pattern.len());
    let pattern = value.get("pattern").and_then(Value::as_str);
    let named = value.get("patternProperties").and_then(Value::as_object);
    pattern.is_none_or(&mut take_pattern)
        && named.is_none_or(|named| named.keys().all(|pattern| take_pattern(pattern)))
        && take(1)
        && match value {
            Value::Array(members) => members.iter().all(|member| take_values(member, left)),
            Value::Object(members) => members.values().all(|member| take_values(member, left)),
            _ => true,
        }
}

fn id(part: &Value) -> Option<&str> {
    let id = part.get("$id").and_then(Value::as_str)?;
    id.split('#').next().filter(|id| !id.is_empty())
}

fn at(pointer: &str, keyword: &str) -> String {
    format!("at {:?}: ", shortened(&format!("{pointer}/{keyword}")))
}
