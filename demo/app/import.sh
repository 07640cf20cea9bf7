# Brings the sample database in, once: before the primary's application starts.
[ -e /litefs/data.db ] || exec litefs import -name data.db /app/data.db
