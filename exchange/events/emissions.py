"""What can have happened to emission reports. Accounts by number, emissions in tCO2e."""

from exchange.events.base import ControlEvent
from registry.emissions import Consequence, Report, Reporting
from registry.factors import Factor


class FactorPublished(ControlEvent, frozen=True):
    factor: Factor


class ReportingOpened(ControlEvent, frozen=True):
    reporting: Reporting
    accounts: list[int]  # from whom a report is due


class ReportFiled(ControlEvent, frozen=True):
    report: Report


class ReportSubmitted(ControlEvent, frozen=True):
    report: Report


class ReportVerified(ControlEvent, frozen=True):
    report: Report


class ReportRejected(ControlEvent, frozen=True):
    report: Report


class ReportRestated(ControlEvent, frozen=True):
    report: Report  # the new version
    emissions: int  # which still count


class ReportingClosed(ControlEvent, frozen=True):
    reporting: Reporting
    refused: list[int]
    consequences: list[Consequence]


class EmissionsAssessed(ControlEvent, frozen=True):
    report: Report
    consequences: list[Consequence]  # of all that the enterprise did about this report


class ReportSanctioned(ControlEvent, frozen=True):
    consequence: Consequence


EmissionsEvent = (
    FactorPublished
    | ReportingOpened
    | ReportFiled
    | ReportSubmitted
    | ReportVerified
    | ReportRejected
    | ReportRestated
    | ReportingClosed
    | EmissionsAssessed
    | ReportSanctioned
)
