//! What users write: Istio's rules, parsed, checked and turned into the model.
