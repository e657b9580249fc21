//! From samples and instruction records to tokens: templates, cutoffs, answers.
