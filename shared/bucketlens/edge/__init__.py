"""AWS dicts <-> values. Status codes and log lines live here."""
