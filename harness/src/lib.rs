//! Real servers for tests: started on free ports in temp folders, stopped at the end.
