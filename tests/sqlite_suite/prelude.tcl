# testfixture prelude.tcl TEST: run SQLite's TEST as it is, but for what a mount of databases cannot have. A plain
# folder is treated the same.
#
# 1. The lock bytes stay where the file format has them, at 1 GiB. SQLite's tests move them to 64 KiB, by a
#    call that no program makes. Who keeps locks beside SQLite, or knows which page is never written, goes by
#    the format.
# 2. What is no database is kept outside of the folder, in SQLITE_SUITE_SIDE: scripts for a second process,
#    text, copies that are put back later, and folders.
# 3. `glob test.db*` finds SQLite's files, and not the mount's own test.db-pos.
# 4. A database that is copied with its WAL, by hand, goes outside with it: a mount refuses the WAL.
#
# 5. A `testvfs` keeps the WAL index in a file, as every program does, and not in its own memory, unless the
#    test watches what is done to the index.
#
# A second process that the test starts with such a script runs under this prelude, too.

set suite_prelude [file normalize [info script]]

rename sqlite3_test_control_pending_byte {}
proc sqlite3_test_control_pending_byte {offset} { return $::sqlite_pending_byte }

proc suite_is_text {name} {
  regexp {^(\./)?([-A-Za-z0-9_]+\.(tcl|txt|sh|csv|data|out)|log|sv_.*|.*-bu)$} $name
}

proc suite_at_side {name} {
  set database $::env(SQLITE_SUITE_SIDE)/[regsub {(-wal|-shm|-journal)$} [suite_file tail $name] {}]
  if {[suite_is_text $name] || [suite_file isfile $database]} {
    return $::env(SQLITE_SUITE_SIDE)/[suite_file tail $name]
  }
  return $name
}

proc suite_command {words} {
  set result {}
  foreach word $words {
    if {[string match *.tcl $word] && [suite_is_text $word]} { lappend result $::suite_prelude }
    lappend result [suite_at_side $word]
  }
  return $result
}

# A WAL is to be copied: its database goes to the side, if it is a copy itself.
proc suite_before_copy {to} {
  if {![regexp {^(.*)-(wal|shm)$} $to - database] || $database eq "test.db"} return
  if {![suite_file exists $database] || [suite_is_text $to]} return
  suite_file copy -force $database $::env(SQLITE_SUITE_SIDE)
  suite_file delete -force $database
}

rename file suite_file
proc file {what args} {
  if {$what eq "copy"} { suite_before_copy [lindex $args end] }
  if {$what eq "mkdir"} { return [suite_file mkdir {*}[lmap name $args { set name $::env(SQLITE_SUITE_SIDE)/$name }]] }
  # What only looks at a name leaves it alone.
  if {$what ni {tail dirname extension rootname join split pathtype nativename normalize}} {
    set args [lmap word $args { suite_at_side $word }]
  }
  uplevel 1 [list suite_file $what {*}$args]
}

# The name of a database that goes through folders and back again is said without them.
rename sqlite3 suite_sqlite3
proc sqlite3 {args} {
  if {[llength $args] > 1 && [string match */../* [lindex $args 1]]} {
    lset args 1 [suite_file tail [lindex $args 1]]
  } elseif {[llength $args] > 1} {
    lset args 1 [suite_at_side [lindex $args 1]]
  }
  uplevel 1 [list suite_sqlite3 {*}$args]
}

foreach suite_name {hexio_read hexio_write} {
  rename $suite_name suite_$suite_name
  proc $suite_name {name args} "uplevel 1 \[list suite_$suite_name \[suite_at_side \$name\] {*}\$args\]"
}

# Who goes into a folder that was made, as testfixture itself into `testdir`, stays where it is.
rename cd suite_cd
proc cd {{folder ~}} {
  if {![suite_file isdirectory $::env(SQLITE_SUITE_SIDE)/$folder]} { suite_cd $folder }
}

rename testvfs suite_testvfs
proc testvfs {args} {
  if {$::suite_index_in_a_file && "-noshm" ni $args && "-fullshm" ni $args} { lappend args -fullshm 1 }
  uplevel 1 [list suite_testvfs {*}$args]
}

rename glob suite_glob
proc glob {args} {
  set found {}
  foreach name [uplevel 1 [list suite_glob {*}$args]] {
    if {![regexp -- {-(pos|lock)$|^\.(primary|lag)$} $name]} { lappend found $name }
  }
  foreach name [suite_glob -nocomplain -directory $::env(SQLITE_SUITE_SIDE) -tails {*}[lrange $args end end]] {
    if {[suite_is_text $name]} { lappend found $name }
  }
  return $found
}

rename open suite_open
proc open {name args} {
  if {[string index $name 0] eq "|"} {
    set name "|[suite_command [string range $name 1 end]]"
  } else {
    set name [suite_at_side $name]
  }
  uplevel 1 [list suite_open $name {*}$args]
}

rename exec suite_exec
proc exec {args} { uplevel 1 [list suite_exec {*}[suite_command $args]] }

set argv0 [lindex $argv 0]
set argv [lrange $argv 1 end]
set suite_channel [suite_open $argv0]
set suite_index_in_a_file [expr {![regexp {filter\s+xShm} [read $suite_channel]]}]
close $suite_channel
source $argv0
