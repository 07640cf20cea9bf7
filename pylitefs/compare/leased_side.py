"""Two candidates of one lease while a workload runs on them: the steps that change who is the primary.

The rule: a step that changes it ends when one node leads and the other one that runs follows. What is told of
that are the nodes' names, which both systems share.
"""

from pylitefs.compare.lease_log import Request, sessions_of, told
from pylitefs.compare.leased import Candidate, LeasedSystem
from pylitefs.compare.nodes import ProgramNode
from pylitefs.compare.side import PATIENCE, Answer, Side
from pylitefs.errors import PylitefsError

NOBODY = "nobody leads"


class LeasedSide(Side):
    """A running `LeasedSystem`, as the runner sees it."""

    system: LeasedSystem

    def __init__(self, system: LeasedSystem) -> None:
        super().__init__(system)
        self._told = 0

    def node(self, role: str) -> ProgramNode:
        """By its role or its name."""
        return self.system.node(role) if role.startswith("n") else super().node(role)

    def _settle(self, after: int = 0) -> str:
        leader = self.system.settle(after=after)
        return f"{leader.name} leads" if leader else NOBODY

    def _do_handoff(self, name: str) -> Answer:
        """`POST /handoff` on the primary."""
        before = self.system.leases.acquired
        said = self._http("POST", f"/handoff?nodeID={{{name}}}", self.primary)
        return {"text": f"{said}; {self._settle(before)}"}

    def _do_promote(self, name: str) -> Answer:
        """`POST /promote` on a node."""
        node = self.system.node(name)
        before = self.system.leases.acquired if not node.is_primary else 0
        said = self._http("POST", "/promote", node)
        return {"text": f"{said}; {self._settle(before)}"}

    def _do_stop(self, name: str) -> Answer:
        code = self.system.node(name).stop(PATIENCE)
        self.system.order()
        return {"text": f"ended with {code}"}

    def _do_crash(self, name: str) -> Answer:
        self.system.crash(self.system.node(name))
        return {"text": "killed, and missed"}

    def _do_start(self, name: str) -> Answer:
        node = self.system.node(name)
        try:
            self.system.start_again(node)
        except PylitefsError as error:
            return {"error": f"does not start again: {str(error).partition(chr(10))[0]}"}
        led = self._settle()
        self.pass_over_events(node, list(self._seen))
        return {"text": f"started; {led}"}

    def _do_led(self) -> Answer:
        return {"text": self._settle()}

    def _do_look(self) -> Answer:
        """Of each node: `/info`, and who `.primary` says it follows."""
        return {"parts": {node.name: self._looked(node) for node in self.system.candidates}}

    def _looked(self, node: Candidate) -> str:
        facts = node.facts()
        if facts is None:
            return "does not run"
        says = "the primary" if facts.is_primary else f"a replica of {facts.primary_hostname}"
        may = "a candidate" if facts.candidate else "no candidate"
        answer = self.observer(node.name).ask("read", PATIENCE, path=str(node.mount / ".primary"))
        followed = str(answer.get("text", answer.get("error"))).strip()
        return f"{says}, {may}, cluster id: {bool(facts.cluster_id)}; .primary: {followed}"

    def _do_requests(self) -> Answer:
        """What each node asked of the lease service since this was last asked."""
        every = list(self.system.leases.requests)
        new: list[Request] = every[self._told :]
        self._told = len(every)
        lines = told(new, sessions_of(every))
        return {"parts": {node.name: "\n".join(lines.get(node.name, ())) for node in self.system.candidates}}
